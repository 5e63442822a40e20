//! engined under the real docker CLI and under ours.

use integration_tests::Stack;

use crate::clients::{CLIS, IMAGE};

#[test]
fn a_container_is_run_listed_logged_and_removed_by_both_clis() {
    let stack = Stack::start();
    for (name, cli) in CLIS {
        let output = cli(
            &stack,
            &["run", "--rm", "-e", "A=b", "-w", "/tmp", IMAGE, "sh", "-c", "echo $A $PWD; exit 5"],
        );
        assert_eq!((output.code, output.stdout.as_str()), (5, "b /tmp\n"), "{name}: {}", output.stderr);
        let id = cli(
            &stack,
            &["run", "-d", "--name", "web", IMAGE, "sh", "-c", "echo one; echo two >&2; sleep 1000"],
        )
        .ok();
        assert_eq!(id.len(), 64, "{name}");
        assert!(cli(&stack, &["ps"]).ok().contains("web"), "{name}");
        let logs = integration_tests::eventually("both lines are logged", || {
            let output = cli(&stack, &["logs", "web"]);
            (output.stdout == "one\n" && output.stderr == "two\n").then_some(output)
        });
        assert_eq!(logs.code, 0);
        let exec = cli(&stack, &["exec", "web", "sh", "-c", "echo in; exit 3"]);
        assert_eq!((exec.code, exec.stdout.as_str()), (3, "in\n"), "{name}: {}", exec.stderr);
        assert_eq!(cli(&stack, &["inspect", "-f", "{{.State.Status}}", "web"]).ok(), "running");
        cli(&stack, &["stop", "-t", "1", "web"]).ok();
        assert_eq!(cli(&stack, &["inspect", "-f", "{{.State.ExitCode}}", "web"]).ok(), "137", "{name}");
        cli(&stack, &["rm", "web"]).ok();
        assert_eq!(cli(&stack, &["ps", "-aq"]).ok(), "", "{name}");
    }
}

#[test]
fn a_missing_command_and_a_failing_create_have_dockers_exit_codes() {
    let stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    for (name, cli) in CLIS {
        assert_eq!(cli(&stack, &["run", "--rm", IMAGE, "nosuchcmd"]).code, 127, "{name}");
        assert_eq!(cli(&stack, &["run", "--rm", IMAGE, "/etc"]).code, 126, "{name}");
        assert_eq!(cli(&stack, &["run", "--rm", "--runtime", "nosuch", IMAGE, "true"]).code, 125, "{name}");
        assert_eq!(cli(&stack, &["run", "--rm", "127.0.0.1:5000/nosuch:1", "true"]).code, 125, "{name}");
        assert_eq!(cli(&stack, &["ps", "-aq"]).ok(), "", "{name}: something half-made is left");
    }
}

#[test]
fn containers_reach_each_other_by_name_and_the_host_reaches_a_published_port() {
    let stack = Stack::start();
    stack.docker(&["network", "create", "n1"]).ok();
    let serve = [
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "n1",
        "-p",
        "18080:80",
        IMAGE,
        "httpd",
        "-f",
        "-h",
        "/www",
    ];
    stack.docker(&serve).ok();
    let get = ["run", "--rm", "--network", "n1", IMAGE, "wget", "-qO-", "http://web/"];
    assert_eq!(stack.docker(&get).ok(), "hello from inside");
    assert_eq!(stack.shell("curl -s --max-time 10 http://127.0.0.1:18080/").ok(), "hello from inside");
    let taken = stack.docker(&["run", "--rm", "-p", "18080:80", IMAGE, "true"]);
    assert_eq!(taken.code, 125);
    assert!(taken.stderr.contains("port is already allocated"), "{}", taken.stderr);
}

/// What stands on the screen at the end: layers between the first and the last words.
#[test]
fn a_pull_on_a_terminal_ends_with_the_same_lines_in_both_clis() {
    let stack = Stack::start();
    for client in [stack.docker_client(), stack.engine_client()] {
        let drawn = client.run_in_terminal(&["pull", IMAGE]).ok();
        let ends = ["1: Pulling from busybox", ": Pull complete", "Digest: sha256:", "Status: Downloaded"];
        let last: Vec<_> = ends.iter().map(|text| drawn.rfind(text)).collect();
        assert!(last[0].is_some() && last.is_sorted(), "{last:?} {drawn:?}");
        client.run(&["rmi", IMAGE]).ok();
    }
}

#[test]
fn a_container_is_removed_while_it_is_just_ending() {
    let stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let script = "for i in $(seq 30); do $D run -d --name box $I usleep $((i * 2000)) >/dev/null; $D rm -f box >/dev/null || exit 1; done";
    let docker = format!("docker -H unix://{}", stack.engine_socket().display());
    stack.shell(&format!("D='{docker}'; I={IMAGE}; {script}")).ok();
    stack.assert_clean(&[]);
}
