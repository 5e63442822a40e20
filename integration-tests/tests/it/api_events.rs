//! What happens, as the API tells it: the stream of events, and `wait`.

use std::io::Read as _;

use integration_tests::{HttpAnswer, RawHttp};
use serde_json::Value;

use crate::clients::{IMAGE, on_both_daemons};

#[test]
fn events_come_in_the_order_of_the_deeds() {
    on_both_daemons(|at| {
        let mut stream =
            RawHttp::send(at.socket, "GET", "/v1.41/events", &["Connection: close"], &Value::Null);
        stream.head();
        at.run(&["run", "--rm", "--name", "one", IMAGE, "sh", "-c", "exit 3"]);
        at.run(&["run", "-d", "--name", "two", IMAGE, "sleep", "1000"]).ok();
        at.run(&["exec", "two", "true"]).ok();
        for args in [
            &["pause", "two"][..],
            &["unpause", "two"],
            &["stop", "-t", "0", "two"],
            &["start", "two"],
            &["kill", "two"],
            &["rename", "two", "three"],
            &["rm", "three"],
        ] {
            at.run(args).ok();
        }
        let mut events = Vec::new();
        let mut text = String::new();
        while !(text.contains("\"destroy\"")
            && text
                .rsplit_once("\"destroy\"")
                .is_some_and(|(_, end)| end.contains("\"three\"") && end.contains("timeNano")))
        {
            let mut buffer = [0; 4096];
            let length = stream.0.read(&mut buffer).expect("events");
            text += &String::from_utf8_lossy(&buffer[..length]);
        }
        for line in text.lines().filter(|line| line.starts_with('{')) {
            let event: Value = serde_json::from_str(line).expect("an event");
            let attributes = &event["Actor"]["Attributes"];
            let name = attributes["name"].as_str().unwrap_or_default().to_owned();
            let action = event["Action"].as_str().expect("an action");
            let more = ["exitCode", "signal", "oldName"]
                .map(|key| attributes[key].as_str().unwrap_or_default())
                .concat();
            if !(action == "pull" || event["Type"] == "image") {
                events.push(format!("{name} {action} {more}").trim_end().to_owned());
            }
        }
        // 20.10 tells the end of a run before the end of its network, 28 after it.
        let modern = at.name != "dockerd";
        let end = |first: &str, last: &[&str]| -> Vec<String> {
            let order = if modern { ["bridge disconnect", first] } else { [first, "bridge disconnect"] };
            order.iter().chain(last).map(|event| (*event).to_owned()).collect()
        };
        let start = ["bridge connect", "two start"].map(str::to_owned).to_vec();
        let exec =
            ["two exec_create: true", "two exec_start: true", "two exec_die 0"].map(str::to_owned).to_vec();
        let stop = if modern {
            ["bridge disconnect", "two stop", "two die 137"].map(str::to_owned).to_vec()
        } else {
            end("two die 137", &["two stop"])
        };
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let expected = [
            lines(&["one create", "one attach", "bridge connect", "one start"]),
            end("one die 3", &["one destroy"]),
            lines(&["two create"]),
            start.clone(),
            exec,
            lines(&["two pause", "two unpause", "two kill 15", "two kill 9"]),
            stop,
            start,
            lines(&["two kill 9"]),
            end("two die 137", &["three rename /two", "three destroy"]),
        ]
        .concat();
        assert_eq!(events, expected, "{}", at.name);
    });
}

#[test]
fn wait_answers_at_the_end_that_was_asked_for() {
    on_both_daemons(|at| {
        // The exec that ends it is given time to end itself.
        let script = "while [ ! -e /tmp/end ]; do usleep 10000; done; rm /tmp/end; sleep 1; exit 7";
        at.run(&["create", "--name", "box", IMAGE, "sh", "-c", script]).ok();
        let wait = |condition: &str| {
            let mut waiting = RawHttp::send(
                at.socket,
                "POST",
                &format!("/v1.41/containers/box/wait?condition={condition}"),
                &["Connection: close"],
                &Value::Null,
            );
            // The head comes at once: `docker run` starts the container only then.
            assert!(waiting.head().contains(" 200 "), "{}: {condition}", at.name);
            waiting
        };
        let code = |mut waiting: RawHttp| RawHttp::json(&waiting.rest())["StatusCode"].clone();
        assert_eq!(code(wait("not-running")), 0, "{}: it was only created", at.name);
        let (next, removed) = (wait("next-exit"), wait("removed"));
        at.run(&["start", "box"]).ok();
        let running = wait("not-running");
        at.run(&["exec", "box", "touch", "/tmp/end"]).ok();
        assert_eq!([code(next), code(running), code(wait("not-running"))], [7, 7, 7], "{}", at.name);
        let again = wait("next-exit");
        at.run(&["start", "box"]).ok();
        at.run(&["kill", "box"]).ok();
        assert_eq!(code(again), 137, "{}", at.name);
        at.run(&["rm", "box"]).ok();
        assert_eq!(code(removed), 137, "{}", at.name);
        at.run(&["create", "--rm", "--name", "box", IMAGE, "sh", "-c", "exit 5"]).ok();
        let removed = wait("removed");
        at.run(&["start", "box"]).ok();
        assert_eq!(code(removed), 5, "{}", at.name);
        let HttpAnswer { status, body, .. } =
            RawHttp::ask(at.socket, "POST", "/v1.41/containers/box/wait", &Value::Null);
        assert_eq!(status, 404, "{}: {body}", at.name);
    });
}
