//! `run` and its streams, under the real docker CLI and ours. Each claim was seen to hold on Debian's dockerd.

use integration_tests::{Output, Stack};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";

/// A shell script for each CLI, which is `$C`; the image is `$I`.
fn with_both(stack: &Stack, script: &str, check: impl Fn(&str, Output)) {
    stack.docker(&["pull", "-q", IMAGE]).ok();
    for name in ["docker", "engine"] {
        let cli = format!("{name} -H unix://{}", stack.engine_socket().display());
        check(name, stack.shell(&format!("C='{cli}'; I={IMAGE}\n{script}")));
    }
}

#[test]
fn megabytes_of_output_arrive_whole_and_apart() {
    let stack = Stack::start();
    let both = "for i in 1 2 3; do head -c 3000000 /dev/zero | tr '\\0' o; head -c 3000000 /dev/zero | tr '\\0' e >&2; done";
    let script = format!(
        "cd {}; $C run --rm $I sh -c \"{both}\" >out 2>err; echo $?; wc -c <out; wc -c <err; tr -d o <out | wc -c; tr -d e <err | wc -c",
        stack.dir().display()
    );
    with_both(&stack, &script, |name, output| {
        assert_eq!(output.ok(), "0\n9000000\n9000000\n0\n0", "{name}");
    });
}

#[test]
fn a_slow_reader_of_output_loses_nothing() {
    let stack = Stack::start();
    let script = "$C run --rm $I sh -c \"head -c 12000000 /dev/zero | tr '\\0' x\" | (sleep 1; wc -c)";
    with_both(&stack, script, |name, output| assert_eq!(output.ok(), "12000000", "{name}"));
}

#[test]
fn input_reaches_the_process_and_its_end_too() {
    let stack = Stack::start();
    let script = "
        head -c 5000000 /dev/zero | $C run -i --rm $I wc -c
        echo unread | $C run --rm $I cat
        $C create -i --name in $I sh -c 'cat; exit 4' >/dev/null
        echo typed | $C start -a -i in; echo $?
        $C rm in >/dev/null
        $C run -d --name box $I sleep 1000 >/dev/null
        head -c 5000000 /dev/zero | $C exec -i box wc -c
        $C rm -f box >/dev/null";
    with_both(&stack, script, |name, output| assert_eq!(output.ok(), "5000000\ntyped\n4\n5000000", "{name}"));
}

#[test]
fn signals_to_the_cli_reach_the_process() {
    let stack = Stack::start();
    let script = "
        $C run --rm --name sig $I sh -c 'trap \"echo got; exit 42\" TERM; echo up; while :; do usleep 20000; done' >out &
        until grep -q up out; do sleep 0.05; done
        kill -TERM $!; wait $!; echo $?; cat out; rm out";
    let script = format!("cd {}\n{script}", stack.dir().display());
    with_both(&stack, &script, |name, output| assert_eq!(output.ok(), "42\nup\ngot", "{name}"));
}

#[test]
fn a_processs_own_group_is_among_its_others() {
    let stack = Stack::start();
    let script = "$C run --rm -u 1000:1000 $I id -G; $C run --rm -u 5:6 --group-add 99 $I grep Groups /proc/self/status";
    with_both(&stack, script, |name, output| {
        let said = output.ok().replace(['\t', ' '], "");
        assert_eq!(said, "1000\nGroups:699", "{name}");
    });
}

#[test]
fn usage_errors_name_the_command_and_have_dockers_codes() {
    let stack = Stack::start();
    let script = "$C run --rm 2>&1; echo $?; $C run --bogus $I true 2>&1; echo $?; $C exec box 2>&1; echo $?";
    with_both(&stack, script, |name, output| {
        let said = output.ok();
        for part in [
            format!("'{name} run' requires at least 1 argument"),
            format!("Usage:  {name} run [OPTIONS] IMAGE [COMMAND] [ARG...]"),
            "\n1\nunknown flag: --bogus".into(),
            "\n125\n".into(),
            format!("'{name} exec' requires at least 2 arguments"),
        ] {
            assert!(said.contains(&part), "{name}: {part:?} isn't in {said}");
        }
    });
}

#[test]
fn top_and_ps_show_commands_as_docker_does() {
    let stack = Stack::start();
    let script = "
        $C run -d --name box -u 1000 -e A=b $I sh -c 'sleep 1000; true' >/dev/null
        # The shell may not have forked yet.
        for try in $(seq 50); do [ $($C top box -o pid,comm | grep -c sleep) = 0 ] || break; done
        $C top box -o pid,comm | grep -c sleep
        $C ps --no-trunc --format '{{.Command}}'
        $C inspect -f '{{index .Config.Env 0}}' box
        $C rm -f box >/dev/null";
    with_both(&stack, script, |name, output| {
        assert_eq!(output.ok(), "1\n\"sh -c 'sleep 1000; true'\"\nA=b", "{name}");
    });
}
