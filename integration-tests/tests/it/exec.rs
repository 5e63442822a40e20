//! `exec`: its options, its streams, its ends, and where it is refused.

use integration_tests::eventually;

use crate::clients::{IMAGE, Place, on_each};

fn start(at: &Place<'_>) {
    at.run(&["run", "-d", "--name", "box", "-e", "OF_BOX=1", "-w", "/tmp", IMAGE, "sleep", "1000"]).ok();
}

#[test]
fn user_directory_environment_and_exit_code_are_its_own() {
    on_each(|at| {
        start(at);
        for (options, script, expected) in [
            (&[][..], "echo $OF_BOX $FROM_IMAGE $PWD", "1 yes /tmp"),
            (&["-e", "OF_BOX=2", "-e", "MINE=3"], "echo $OF_BOX $MINE", "2 3"),
            (&["-w", "/var"], "pwd", "/var"),
            (&["-u", "user"], "id -u; id -g; echo $HOME", "1000\n1000\n/tmp"),
            (&["-u", "7:9"], "id -u; id -g", "7\n9"),
            (&["-u", "user:extra"], "id -g", "2000"),
            (&["--privileged"], "grep -c 'CapEff:.0000000000000000' /proc/self/status", "0"),
        ] {
            // A host that lacks capabilities can't give them away.
            let output = at.run(&[&["exec"], options, &["box", "sh", "-c", script]].concat());
            if options == ["--privileged"] && output.stdout.contains("operation not permitted") {
                continue;
            }
            let said = output.stdout.trim_end();
            assert_eq!(said, expected, "{}: {options:?}: {}", at.name, output.stderr);
        }
        for (script, code) in [("exit 0", 0), ("exit 3", 3), ("exit 300", 44), ("kill -9 $$", 137)] {
            assert_eq!(at.run(&["exec", "box", "sh", "-c", script]).code, code, "{}: {script}", at.name);
        }
        let output = at.run(&["exec", "box", "sh", "-c", "echo out; echo err >&2"]);
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"), "{}", at.name);
        at.remove(&["box"]);
    });
}

#[test]
fn input_and_terminals_are_asked_for() {
    on_each(|at| {
        start(at);
        let typed = at.cli.run_with_input(&["exec", "-i", "box", "sh", "-c", "cat; exit 4"], "typed\n");
        assert_eq!((typed.code, typed.stdout.as_str()), (4, "typed\n"), "{}: {}", at.name, typed.stderr);
        let unread = at.cli.run_with_input(&["exec", "box", "cat"], "unread\n");
        assert_eq!(unread.ok(), "", "{}", at.name);
        let plain = at.run(&["exec", "box", "sh", "-c", "for fd in 0 1 2; do test -t $fd || echo no; done"]);
        assert_eq!(plain.ok(), "no\nno\nno", "{}", at.name);
        let script = "for fd in 0 1 2; do test -t $fd && echo yes; done; stty size; exit 5";
        let output = at.cli.run_in_terminal(&["exec", "-it", "box", "sh", "-c", script]);
        assert_eq!(
            (output.code, output.stdout.matches("yes").count()),
            (5, 3),
            "{}: {}",
            at.name,
            output.stdout
        );
        at.refused(&["exec", "-it", "box", "sh"], 1, "the input device is not a TTY");
        at.remove(&["box"]);
    });
}

#[test]
fn one_in_the_background_runs_on_and_is_known_by_its_id() {
    on_each(|at| {
        start(at);
        let begun = at.run(&[
            "exec",
            "-d",
            "box",
            "sh",
            "-c",
            "echo x >/tmp/begun; while [ ! -e /tmp/go ]; do usleep 10000; done; echo y >/tmp/done",
        ]);
        assert_eq!(begun.ok(), "", "{}", at.name);
        eventually("it has begun", || {
            (at.run(&["exec", "box", "cat", "/tmp/begun"]).stdout == "x\n").then_some(())
        });
        let ids = at.field("{{len .ExecIDs}}", "box");
        assert_eq!(ids, "1", "{}", at.name);
        at.run(&["exec", "box", "touch", "/tmp/go"]).ok();
        eventually("it is done", || {
            (at.run(&["exec", "box", "cat", "/tmp/done"]).stdout == "y\n").then_some(())
        });
        eventually("it is forgotten", || (at.field("{{len .ExecIDs}}", "box") == "0").then_some(()));
        at.remove(&["box"]);
    });
}

#[test]
fn what_cannot_be_executed_is_said_and_has_its_code() {
    on_each(|at| {
        start(at);
        for (command, words) in [
            (&["nosuchcmd"][..], "exec: \"nosuchcmd\": executable file not found in $PATH"),
            (&["/nosuch/x"], "exec: \"/nosuch/x\": stat /nosuch/x: no such file or directory"),
            (&["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
        ] {
            let output = at.run(&[&["exec", "box"], command].concat());
            // 20.10 says 126 of all.
            assert!(matches!(output.code, 126 | 127), "{}: {command:?}: {}", at.name, output.code);
            let said = output.stdout + &output.stderr;
            assert!(
                said.contains("OCI runtime exec failed: exec failed: ") && said.contains(words),
                "{}: {said}",
                at.name
            );
        }
        let nowhere = at.run(&["exec", "-w", "/nosuchdir", "box", "pwd"]);
        let said = nowhere.stdout + &nowhere.stderr;
        assert!(
            said.contains(
                "chdir to cwd (\"/nosuchdir\") set in config.json failed: no such file or directory"
            ),
            "{}: {said}",
            at.name
        );
        let nobody = at.run(&["exec", "-u", "nosuch", "box", "id"]);
        let said = nobody.stdout + &nobody.stderr;
        assert!(
            nobody.code != 0
                && said.contains("unable to find user nosuch: no matching entries in passwd file"),
            "{}: {said}",
            at.name
        );
        at.refused(&["exec", "-d", "box", "nosuchcmd"], 1, "executable file not found in $PATH");
        at.remove(&["box"]);
    });
}

#[test]
fn a_container_that_does_not_run_is_no_place_for_it() {
    on_each(|at| {
        start(at);
        at.run(&["pause", "box"]).ok();
        let words = "Container box is paused, unpause the container before exec";
        at.refused(&["exec", "box", "true"], 1, words);
        at.run(&["unpause", "box"]).ok();
        at.run(&["exec", "box", "true"]).ok();
        at.run(&["stop", "-t", "0", "box"]).ok();
        let stopped = at.run(&["exec", "box", "true"]);
        assert_eq!(stopped.code, 1, "{}", at.name);
        let words = format!("container {} is not running", at.field("{{.Id}}", "box"));
        assert!(stopped.stderr.to_lowercase().contains(&words), "{}: {}", at.name, stopped.stderr);
        at.remove(&["box"]);
        at.refused(&["exec", "box", "true"], 1, "No such container: box");
    });
}

#[test]
fn it_has_no_descriptor_but_its_three_and_leaves_no_process() {
    on_each(|at| {
        start(at);
        for options in [&[][..], &["-i"], &["-t"]] {
            let args = [&["exec"], options, &["box", "sh", "-c", "echo /proc/self/fd/*"]].concat();
            let said = at.run(&args).ok();
            // The fourth is the shell's own, to list them.
            let fds = said
                .split_whitespace()
                .filter(|fd| !["0", "1", "2", "3"].iter().any(|n| fd.ends_with(&format!("/{n}"))));
            let more: Vec<&str> = fds.collect();
            assert!(more.is_empty(), "{}: {options:?}: {more:?}", at.name);
        }
        let others = at.run(&["exec", "box", "sh", "-c", "ls -d /proc/[0-9]* | wc -l"]).ok();
        // The first process, this shell, ls, wc.
        assert_eq!(others, "4", "{}", at.name);
        at.remove(&["box"]);
    });
}
