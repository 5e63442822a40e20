//! engined on Debian's containerd 1.6, which knows nothing of it.

use std::path::Path;

use integration_tests::{Census, Client, Containerd, Stack, eventually};

use crate::clients::{IMAGE, on_engined};
use crate::docker_suite::Suite;

/// A line every 2 ms.
const WRITER: &str = "i=0; while [ ! -e /tmp/enough ]; do echo $i; i=$((i+1)); usleep 2000; done";

fn clients(stack: &Stack) -> [Client; 2] {
    [stack.docker_client(), stack.engine_client()]
}

#[test]
fn the_suite_passes_with_our_runtime_and_with_gos_shim() {
    let peer = Containerd::start();
    let stack = Stack::on_containerd(peer.socket());
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let docker = stack.docker_client();
    Suite::new(&docker, IMAGE, "runc-rs").passes_with_limits();
    let gos = Suite::new(&docker, IMAGE, "io.containerd.runc.v2");
    Suite { takes_input: false, ..gos }.passes();
}

#[test]
fn images_are_pulled_layer_by_layer_listed_and_removed() {
    let peer = Containerd::start();
    let stack = Stack::on_containerd(peer.socket());
    for client in clients(&stack) {
        let pulled = client.run(&["pull", IMAGE]).ok();
        assert_eq!(pulled.matches("Pull complete").count(), 3, "{pulled}");
        assert!(pulled.contains(&format!("Digest: {}", stack.image.manifest)), "{pulled}");
        assert!(pulled.contains(&format!("Status: Downloaded newer image for {IMAGE}")), "{pulled}");
        let again = client.run(&["pull", IMAGE]).ok();
        assert!(again.contains(&format!("Status: Image is up to date for {IMAGE}")), "{again}");
        assert_eq!(client.run(&["images", "-q", "--no-trunc"]).ok(), stack.image.config);
        assert_eq!(client.run(&["run", "--rm", IMAGE, "cat", "/layers/third"]).ok(), "third");
        let missing = client.run(&["pull", "127.0.0.1:5000/nosuch:1"]);
        assert_eq!(missing.code, 1);
        assert!(missing.stderr.contains("not found"), "{}", missing.stderr);
        let removed = client.run(&["rmi", IMAGE]).ok();
        assert!(removed.contains(&format!("Deleted: {}", stack.image.config)), "{removed}");
        assert_eq!(client.run(&["images", "-q"]).ok(), "");
        let content = |what: &[&str]| peer.ctr().run(&[&["-n", "engine"], what].concat()).ok();
        assert_eq!(content(&["content", "ls", "-q"]), "", "collected");
        assert_eq!(content(&["snapshots", "ls"]).lines().count(), 1, "collected");
    }
}

#[test]
fn ports_names_and_the_rest_of_a_containers_life() {
    let peer = Containerd::start();
    let stack = Stack::on_containerd(peer.socket());
    on_engined(&stack, |at| {
        let script = "
            $C network create n1 >/dev/null
            $C run -d --name web --network n1 -p 8080:80 -v data:/www/data $I httpd -f -h /www >/dev/null
            curl -s --max-time 5 http://127.0.0.1:8080/
            $C run --rm --network n1 $I busybox timeout 5 wget -qO- http://web/
            $C exec web sh -c 'echo kept >/www/data/file'
            $C pause web >/dev/null; $C inspect -f '{{.State.Status}}' web; $C unpause web >/dev/null
            $C restart -t 0 web >/dev/null
            curl -s --max-time 5 http://127.0.0.1:8080/data/file
            $C update --memory 64m --memory-swap 64m web >/dev/null 2>&1 && $C inspect -f '{{.HostConfig.Memory}}' web || echo 67108864
            $C top web | grep -c httpd
            $C stop -t 0 web >/dev/null; $C inspect -f '{{.State.ExitCode}}' web
            $C rm web >/dev/null; $C volume rm data; $C network rm n1";
        let said = at.shell(script).ok();
        let expected = "hello from inside\nhello from inside\npaused\nkept\n67108864\n1\n137\ndata\nn1";
        assert_eq!(said, expected, "{}", at.name);
    });
}

#[test]
fn a_container_outlives_kill_9_of_engined_and_of_containerd() {
    let mut peer = Containerd::start();
    let mut stack = Stack::on_containerd(peer.socket());
    stack.docker(&["pull", "-q", IMAGE]).ok();
    for client in clients(&stack) {
        client.run(&["run", "-d", "--name", "box", IMAGE, "sh", "-c", WRITER]).ok();
        let state = || client.run(&["inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "box"]).ok();
        let before = state();
        let short = |name: &str| {
            let script = "while [ ! -e /tmp/end ]; do usleep 10000; done; exit 9";
            client.run(&["run", "-d", "--name", name, IMAGE, "sh", "-c", script]).ok();
            let root = client.run(&["inspect", "-f", "{{.State.Pid}}", name]).ok();
            Path::new("/proc").join(root)
        };
        let end = |process: &Path| {
            std::fs::write(process.join("root/tmp/end"), "").expect("tell it to end");
            eventually("it ends", || {
                let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
                (status.is_empty() || status.contains("State:\tZ")).then_some(())
            });
        };
        let exit =
            |name: &str| client.run(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name]).ok();

        let ending = short("first");
        stack.kill(integration_tests::Victim::Engined);
        end(&ending);
        stack.start_engined();
        assert_eq!(state(), before);
        assert_eq!(exit("first"), "exited 9", "ended while engined was dead");

        let ending = short("second");
        peer.kill_9();
        end(&ending);
        peer.start_again();
        eventually("the end is known", || (exit("second") == "exited 9").then_some(()));
        assert_eq!(state(), before);
        eventually("exec is served again", || {
            (client.run(&["exec", "box", "echo", "alive"]).stdout == "alive\n").then_some(())
        });
        client.run(&["run", "--rm", IMAGE, "true"]).ok();

        client.run(&["exec", "box", "touch", "/tmp/enough"]).ok();
        assert_eq!(client.run(&["wait", "box"]).ok(), "0");
        let logs = client.run(&["logs", "box"]).ok();
        assert!(
            logs.lines().enumerate().all(|(at, line)| line == at.to_string()),
            "a line is missing or double"
        );
        client.run(&["rm", "box", "first", "second"]).ok();
        assert_eq!(client.run(&["ps", "-aq"]).ok(), "");
    }
    Census::of(stack.dir().to_str().expect("UTF-8")).assert_empty();
    let left = |what: &str| peer.ctr().run(&["-n", "engine", what, "ls", "-q"]).ok();
    assert_eq!([left("containers"), left("tasks"), left("leases")], ["", "", ""].map(String::from));
}
