//! `logs`: which lines, of which stream, from when to when, while they come and after.

use std::io::Read as _;

use integration_tests::{Output, Stack, eventually};

use crate::clients::{IMAGE, Place, on_each, on_engined};

/// Eleven entries some time apart, of two streams; the last one has no end.
const SPEAKER: &str = "for i in 1 2 3 4 5; do echo out$i; usleep 20000; echo err$i >&2; usleep 20000; done; printf last; exit 3";

/// Lines of both streams, or of one.
fn said(output: &Output) -> (&str, &str) {
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    (&output.stdout, &output.stderr)
}

/// The same entries with an end to the last one: Debian's dockerd may forget half a line when it is followed.
fn whole_lines() -> String {
    SPEAKER.replace("printf", "echo")
}

fn speak(at: &Place<'_>) {
    at.run(&["run", "-d", "--name", "box", IMAGE, "sh", "-c", SPEAKER]).ok();
}

#[test]
fn following_gives_both_streams_apart_and_ends_with_the_container() {
    on_each(|at| {
        at.run(&["run", "-d", "--name", "box", IMAGE, "sh", "-c", &whole_lines()]).ok();
        let all = ("out1\nout2\nout3\nout4\nout5\nlast\n", "err1\nerr2\nerr3\nerr4\nerr5\n");
        assert_eq!(said(&at.run(&["logs", "-f", "box"])), all, "{}", at.name);
        assert_eq!(at.field("{{.State.Status}}", "box"), "exited", "{}: it ended before", at.name);
        for args in [&["logs", "box"][..], &["logs", "-f", "box"], &["logs", "-f", "--tail", "20", "box"]] {
            assert_eq!(said(&at.run(args)), all, "{}: {args:?} of a stopped container", at.name);
        }
        at.run(&["start", "box"]).ok();
        assert_eq!(at.run(&["wait", "box"]).ok(), "3", "{}", at.name);
        let twice = at.run(&["logs", "box"]);
        assert_eq!(twice.stdout, all.0.repeat(2), "{}: a second run goes on in the same log", at.name);
        at.remove(&["box"]);
        at.refused(&["logs", "box"], 1, "No such container: box");
    });
}

#[test]
fn tail_counts_entries_of_both_streams() {
    on_each(|at| {
        speak(at);
        at.run(&["wait", "box"]).ok();
        let all = at.run(&["logs", "box"]);
        for (tail, expected) in [
            ("0", ("", "")),
            ("1", ("last", "")),
            ("2", ("last", "err5\n")),
            ("3", ("out5\nlast", "err5\n")),
            ("1000", said(&all)),
            ("all", said(&all)),
            ("-1", said(&all)),
            ("bogus", said(&all)),
        ] {
            assert_eq!(said(&at.run(&["logs", "--tail", tail, "box"])), expected, "{}: {tail}", at.name);
            let follow = at.run(&["logs", "-f", "-n", tail, "box"]);
            assert_eq!(said(&follow), expected, "{}: -f {tail}", at.name);
        }
        let stamped = at.run(&["logs", "-t", "--tail", "2", "box"]);
        for (line, text) in [(&stamped.stdout, "last"), (&stamped.stderr, "err5\n")] {
            let (time, rest) = line.split_once(' ').expect("a time and a text");
            assert_eq!(rest, text, "{}", at.name);
            // Nine digits, so that times sort as text.
            let form = "2026-01-01T00:00:00.000000000Z";
            let like = time
                .bytes()
                .zip(form.bytes())
                .all(|(a, b)| a == b || (a.is_ascii_digit() && b.is_ascii_digit()));
            assert!(like && time.len() == form.len(), "{}: {time}", at.name);
        }
        assert_eq!(at.run(&["logs", "--details", "--tail", "1", "box"]).stdout, " last", "{}", at.name);
        at.remove(&["box"]);
    });
}

#[test]
fn since_and_until_take_times_of_every_form_and_both_ends_count() {
    on_each(|at| {
        speak(at);
        at.run(&["wait", "box"]).ok();
        let stamped = at.run(&["logs", "-t", "box"]).stdout;
        let third = stamped.lines().nth(2).and_then(|line| line.split(' ').next()).expect("a third line");
        let seconds = at.shell(&format!("date -d {third} +%s.%N")).ok();
        let zone = at.shell(&format!("TZ=UTC-5:30 date -d {third} +%FT%T.%N+05:30")).ok();
        let all = "out1\nout2\nout3\nout4\nout5\nlast";
        let before = "out1\nout2\nout3\n";
        let after = "out3\nout4\nout5\nlast";
        for (args, expected) in [
            (&["--since", third][..], after),
            (&["--since", &seconds], after),
            (&["--since", &zone], after),
            (&["--until", third], before),
            (&["--until", &seconds], before),
            (&["--since", third, "--until", third], "out3\n"),
            (&["--since", "1h"], all),
            (&["--since", "1h30m5s"], all),
            (&["--since", "2000-01-01"], all),
            (&["--since", "2000-01-01T10:00"], all),
            (&["--since", "0"], all),
            (&["--since", "4000000000"], ""),
            (&["--until", "1h"], ""),
            (&["--until", "2000-01-01T00:00:00Z"], ""),
            (&["--since", third, "--tail", "2"], "last"),
            (&["--since", third, "-f"], after),
            (&["--until", third, "-f"], before),
        ] {
            let output = at.run(&[&["logs"], args, &["box"]].concat());
            assert_eq!(said(&output).0, expected, "{}: {args:?}", at.name);
        }
        let words = "invalid value for \"since\": failed to parse value as time or duration: \"bogus\"";
        at.refused(&["logs", "--since", "bogus", "box"], 1, words);
        at.remove(&["box"]);
    });
}

/// Says `line N` for each number, to be counted.
fn counter(lines: usize) -> String {
    format!("i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); done")
}

/// The numbers, checked to be without a gap and each once.
#[track_caller]
fn counted(text: &str) -> (usize, usize) {
    let numbers: Vec<usize> =
        text.lines().map(|line| line.trim_start_matches("line ").parse().expect("a number")).collect();
    let first = *numbers.first().expect("a line");
    for (at, number) in numbers.iter().enumerate() {
        assert_eq!(*number, first + at, "a line is missing or double");
    }
    (first, first + numbers.len() - 1)
}

#[test]
fn rotation_keeps_the_last_lines_whole_and_in_order() {
    on_each(|at| {
        let options = ["--log-opt", "max-size=4k", "--log-opt", "max-file=3"];
        let lines = counter(1000);
        at.run(&[&["run", "--name", "box"], &options[..], &[IMAGE, "sh", "-c", &lines]].concat()).ok();
        let (first, last) = counted(&at.run(&["logs", "box"]).stdout);
        assert!(first > 800 && last == 999, "{}: {first} to {last}", at.name);
        let path = at.field("{{.LogPath}}", "box");
        let files =
            at.shell(&format!("ls {path}* | wc -l; find $(dirname {path}) -name '*.log*' -size +8k")).ok();
        assert_eq!(files, "3", "{}", at.name);
        // Across the files' borders.
        let tail = counted(&at.run(&["logs", "--tail", "100", "box"]).stdout);
        assert_eq!(tail, (900, 999), "{}", at.name);
        at.remove(&["box"]);
        for (options, words) in [
            (&["--log-opt", "max-size=zz"], "invalid size: 'zz'"),
            (&["--log-opt", "max-file=0"], "max-file cannot be less than 1"),
            (&["--log-opt", "bogus=1"], "unknown log opt 'bogus' for json-file log driver"),
            (&["--log-driver", "bogus"], "bogus"),
        ] {
            at.refused(&[&["run", "--name", "box"], &options[..], &[IMAGE, "true"]].concat(), 125, words);
            at.run(&["rm", "box"]);
        }
    });
}

/// Debian's dockerd may lose lines when a file turns while it is followed: a claim of ours alone.
#[test]
fn a_follower_loses_no_line_while_files_turn() {
    on_engined(&Stack::start(), |at| {
        let options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=200"];
        let lines = counter(20_000);
        at.run(&[&["create", "--name", "box"], &options[..], &[IMAGE, "sh", "-c", &lines]].concat()).ok();
        let mut follower = at.cli.start(&["logs", "-f", "box"]);
        at.run(&["start", "box"]).ok();
        let mut text = String::new();
        follower.stdout.take().expect("piped").read_to_string(&mut text).expect("lines");
        assert!(follower.wait().expect("the follower").success(), "{}", at.name);
        assert_eq!(counted(&text), (0, 19_999), "{}", at.name);
        at.remove(&["box"]);
    });
}

#[test]
fn a_log_is_followed_before_and_after_a_restart_of_the_daemon() {
    let mut stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    // The exec that ends it is given time to end itself.
    let script = "i=0; while [ ! -e /tmp/enough ]; do echo line $i; i=$((i+1)); usleep 2000; done; sleep 1";
    for client in [stack.docker_client(), stack.engine_client()] {
        let run = |args: &[&str]| client.run(args);
        run(&["run", "-d", "--name", "box", IMAGE, "sh", "-c", script]).ok();
        let mut cut = client.start(&["logs", "-f", "box"]);
        eventually("some lines", || (run(&["logs", "box"]).stdout.lines().count() > 50).then_some(()));
        stack.kill(integration_tests::Victim::Engined);
        let mut text = String::new();
        cut.stdout.take().expect("piped").read_to_string(&mut text).expect("lines");
        cut.wait().expect("the follower ends with the daemon");
        let (first, seen) = counted(text.rsplit_once('\n').expect("whole lines").0);
        assert_eq!(first, 0);
        stack.start_missing();
        let follower = client.start(&["logs", "-f", "box"]);
        eventually("more lines", || (run(&["logs", "box"]).stdout.lines().count() > seen + 50).then_some(()));
        run(&["exec", "box", "touch", "/tmp/enough"]).ok();
        let followed = follower.wait_with_output().expect("the follower ends with the container");
        let text = String::from_utf8(followed.stdout).expect("UTF-8");
        let (first, last) = counted(&text);
        assert!(first == 0 && last > seen + 50, "{first} to {last}, {seen} before");
        assert_eq!(text, run(&["logs", "box"]).stdout);
        run(&["rm", "-f", "box"]).ok();
    }
}
