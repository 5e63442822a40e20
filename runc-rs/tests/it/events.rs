//! `events`: a container's counters, one JSON document a line.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::bundle::{Bundle, runtime};

#[test]
fn stats_are_one_document_with_runcs_keys() {
    let bundle = Bundle::running();
    let answer = bundle.call(&["events", "--stats", bundle.id()]);
    assert_eq!((answer.code, answer.stdout.lines().count()), (0, 1), "{answer:?}");
    let event: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!((event["type"].as_str(), event["id"].as_str()), (Some("stats"), Some(bundle.id())));
    let data = &event["data"];
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{data}");
    for key in
        ["/cpu/throttling", "/memory/usage", "/memory/swap", "/pids", "/blkio", "/hugetlb", "/intel_rdt"]
    {
        assert!(data.pointer(key).is_some_and(Value::is_object), "{key}: {data}");
    }
    assert!(data["network_interfaces"].is_null(), "{data}");
}

#[test]
fn a_stopped_or_unknown_container_has_no_stats() {
    let bundle = Bundle::new("true");
    bundle.start_detached();
    bundle.wait_for("stopped");
    let answer = bundle.call(&["events", "--stats", bundle.id()]);
    assert!(answer.code == 1 && answer.stderr.contains("is not running"), "{answer:?}");
    let answer = bundle.call(&["events", "--stats", "nobody"]);
    assert!(answer.code == 1 && answer.stderr.contains("does not exist"), "{answer:?}");
    let answer = bundle.call(&["events", "--interval", "0s", bundle.id()]);
    assert_eq!(answer.code, 1, "{answer:?}");
}

/// Of a container, as they come.
pub(crate) struct Events(std::process::Child, std::io::Lines<BufReader<std::process::ChildStdout>>);

impl Events {
    pub(crate) fn of(bundle: &Bundle, interval: &str) -> Self {
        let args = ["events", "--interval", interval, bundle.id()];
        let mut child = bundle.command(&runtime(), &args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self(child, lines)
    }

    /// Waits for the next; `None` when there will be no more.
    pub(crate) fn next(&mut self) -> Option<Value> {
        self.1.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
