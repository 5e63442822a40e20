//! What containers' networks leave in the kernel: nothing, however they and their daemon end.

use integration_tests::{Stack, Victim, eventually};

use crate::clients::IMAGE;

/// Links, addresses, routes and rules of the host, and the daemon's pinned namespaces.
fn kernel(stack: &Stack) -> String {
    let script = "
        ip -o link | cut -d: -f2 | cut -d@ -f1 | sort; ip -o -4 addr | tr -s ' ' | cut -d' ' -f2-4; ip route | sed 's/ linkdown//'
        nft list ruleset | grep -v '^[[:space:]]*$'; iptables-save 2>/dev/null | grep -v '^#'";
    let pinned = format!("ls {0}/exec/netns {0}/exec/network 2>/dev/null", stack.dir().display());
    stack.shell(&format!("{script}\n{pinned}")).stdout
}

fn page(stack: &Stack, port: u16) -> String {
    stack.shell(&format!("curl -s --max-time 3 http://127.0.0.1:{port}/")).stdout.trim().to_owned()
}

fn serve(stack: &Stack, name: &str, network: &str, port: &str) {
    let run =
        ["run", "-d", "--name", name, "--network", network, "-p", port, "-p", "9000-9003:9000-9003/udp"];
    stack.docker(&[&run[..], &[IMAGE, "httpd", "-f", "-h", "/www"]].concat()).ok();
}

#[test]
fn a_removed_container_leaves_no_link_rule_or_namespace() {
    let stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let before = kernel(&stack);
    for end in [&["rm", "-f", "web"][..], &["stop", "-t", "0", "web"], &["kill", "web"]] {
        stack.docker(&["network", "create", "n1"]).ok();
        serve(&stack, "web", "n1", "8080:80");
        stack.docker(&["network", "connect", "bridge", "web"]).ok();
        let during = kernel(&stack);
        assert!(during.contains("8080") && during.contains("veth"), "{during}");
        stack.docker(end).ok();
        assert!(!kernel(&stack).contains("veth") && !kernel(&stack).contains("8080"), "{end:?}");
        stack.docker(&["rm", "-f", "web"]);
        stack.docker(&["network", "rm", "n1"]).ok();
        assert_eq!(kernel(&stack), before, "{end:?}");
    }
    // A start that fails late has had its network.
    let failed = stack.docker(&["run", "--name", "web", "-p", "8080:80", IMAGE, "nosuchcmd"]);
    assert_eq!(failed.code, 127, "{}", failed.stderr);
    assert_eq!(kernel(&stack), before);
    stack.docker(&["rm", "web"]).ok();
}

#[test]
fn ports_serve_while_the_daemon_is_dead_and_the_dead_are_cleared_away_when_it_is_back() {
    let mut stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let before = kernel(&stack);
    stack.docker(&["network", "create", "n1"]).ok();
    serve(&stack, "lives", "n1", "8080:80");
    let script = "while [ ! -e /tmp/end ]; do usleep 10000; done";
    stack
        .docker(&[
            "run",
            "-d",
            "--name",
            "dies",
            "--network",
            "n1",
            "-p",
            "8081:80",
            IMAGE,
            "sh",
            "-c",
            script,
        ])
        .ok();
    let pid = stack.docker(&["inspect", "-f", "{{.State.Pid}}", "dies"]).ok();
    for victim in [Victim::Engined, Victim::Both] {
        stack.kill(victim);
        assert_eq!(page(&stack, 8080), "hello from inside", "{victim:?}: while it is dead");
        if victim == Victim::Engined {
            std::fs::write(format!("/proc/{pid}/root/tmp/end"), "").expect("tell it to end");
            eventually("it ends", || (!std::path::Path::new("/proc").join(&pid).exists()).then_some(()));
        }
        stack.start_missing();
        assert_eq!(page(&stack, 8080), "hello from inside", "{victim:?}: when it is back");
        let by_name = ["run", "--rm", "--network", "n1", IMAGE, "busybox", "timeout", "5", "wget", "-qO-"];
        let by_name = stack.docker(&[&by_name[..], &["http://lives/"]].concat());
        assert_eq!(by_name.ok(), "hello from inside", "{victim:?}: names");
        let now = kernel(&stack);
        assert!(!now.contains("8081"), "{victim:?}: a port of the dead: {now}");
        assert_eq!(now.matches("veth").count(), 1, "{victim:?}: {now}");
        let taken = stack.docker(&["run", "--rm", "-p", "8080:80", IMAGE, "true"]);
        assert!(taken.stderr.contains("port is already allocated"), "{victim:?}: {}", taken.stderr);
    }
    stack.docker(&["rm", "-f", "lives", "dies"]).ok();
    stack.docker(&["network", "rm", "n1"]).ok();
    assert_eq!(kernel(&stack), before);
}
