//! What is handed through: stdio, preserved descriptors, those of socket activation, pid files.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::bundle::{Answer, Bundle, runtime};

/// The runtime, started by a shell that opens descriptors for it first.
fn from_a_shell(bundle: &Bundle, redirections: &str, args: &str) -> Answer {
    drop(bundle.command(&runtime(), &[]));
    fs::write(bundle.dir.join("three"), "third\n").unwrap();
    fs::write(bundle.dir.join("four"), "fourth\n").unwrap();
    let script = format!("exec {redirections}\n\"$0\" --root state {args}");
    let output = Command::new("sh").args(["-c", &script]).arg(runtime()).current_dir(&bundle.dir).output();
    output.unwrap().into()
}

#[test]
fn as_many_descriptors_as_asked_for_are_kept_and_no_more() {
    let script = "cat <&3; cat <&4; [ -e /proc/self/fd/5 ] && echo leaked; ls /proc/self/fd | wc -l";
    let bundle = Bundle::new(script);
    let args = format!("--log log run --preserve-fds 2 {}", bundle.id());
    let answer = from_a_shell(&bundle, "3<three 4<four 5</etc 6</ 9<three", &args);
    // 0, 1, 2, the two, and the directory that ls reads.
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "third\nfourth\n6\n"), "{answer:?}");
    let running = Bundle::running();
    let args = format!("--log log exec --preserve-fds 2 {} sh -c '{script}'", running.id());
    let answer = from_a_shell(&running, "3<three 4<four 5</etc 6</ 9<three", &args);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "third\nfourth\n6\n"), "{answer:?}");
}

#[test]
fn sockets_of_activation_reach_the_program() {
    let script = "cat <&3; echo $LISTEN_FDS $LISTEN_PID $$; [ -e /proc/self/fd/4 ] && echo leaked; :";
    let bundle = Bundle::new(script);
    let with = |pid: &str| {
        let open = format!("3<three 4<four; export LISTEN_FDS=1 LISTEN_PID={pid}; exec \\");
        from_a_shell(&bundle, &open, &format!("run {}", bundle.id()))
    };
    let answer = with("$$");
    assert_eq!(answer.stdout, "third\n1 1 1\n", "{answer:?}");
    // Meant for another process, they are leaked ones.
    let answer = with("1");
    assert!(answer.stdout.starts_with("1\n") && answer.stderr.contains("Bad file descriptor"), "{answer:?}");
}

#[test]
fn stdio_is_the_callers() {
    let bundle = Bundle::new("cat; echo err >&2");
    let mut child = bundle
        .command(&runtime(), &["run", bundle.id()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"through\n").unwrap();
    let answer = Answer::from(child.wait_with_output().unwrap());
    assert_eq!((answer.stdout.as_str(), answer.stderr.as_str()), ("through\n", "err\n"));
}

#[test]
fn stdio_belongs_to_the_containers_user_so_that_it_can_be_opened_again() {
    let mut bundle = Bundle::new("echo again > /dev/stdout");
    bundle.spec["process"]["user"] = json!({"uid": 1234, "gid": 1234});
    assert_eq!(bundle.output(), "again\n");
}

#[test]
fn closed_stdio_is_no_harm() {
    for closed in ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"] {
        let bundle = Bundle::new("exit 3");
        let answer = from_a_shell(&bundle, closed, &format!("run {}", bundle.id()));
        assert_eq!(answer.code, 3, "{closed}: {answer:?}");
        bundle.assert_nothing_left();
    }
}

/// What a shell runs in the background ignores SIGINT, and an ignored signal can't be trapped: a build that handed
/// that on left ^C without effect in the container's terminal, and one that ignored SIGCHLD never learned the exit
/// code.
#[test]
fn signals_that_the_caller_ignores_are_the_programs_own() {
    let ignore = "3</etc; exec env --ignore-signal=HUP,INT,QUIT,USR1,TERM,CHLD \\";
    let script = "grep SigIgn /proc/self/status; exit 3";
    let (once, running) = (Bundle::new(script), Bundle::running());
    let exec = format!("exec {} sh -c '{script}'", running.id());
    for (bundle, args) in [(&once, format!("run {}", once.id())), (&running, exec)] {
        let answer = from_a_shell(bundle, ignore, &args);
        let ignored = u64::from_str_radix(answer.stdout.trim_start_matches("SigIgn:").trim(), 16).unwrap();
        // Above are real-time signals, some of which Go leaves alone.
        assert_eq!((answer.code, ignored & 0x7fff_ffff), (3, 0), "{answer:?}");
    }
}

#[test]
fn a_pid_file_holds_the_hosts_number_of_the_process() {
    let bundle = Bundle::new("sleep 1000");
    assert_eq!(bundle.detached(&["run", "-d", "--pid-file", "init.pid", bundle.id()]).code, 0);
    let pid = |name: &str| fs::read_to_string(bundle.dir.join(name)).unwrap().parse::<i64>().unwrap();
    assert_eq!(pid("init.pid"), bundle.pid());
    let args = ["exec", "-d", "--pid-file", "exec.pid", bundle.id(), "sleep", "1000"];
    assert_eq!(bundle.detached(&args).code, 0);
    let line = fs::read_to_string(format!("/proc/{}/cmdline", pid("exec.pid"))).unwrap();
    assert_eq!(line, "sleep\x001000\0");
}

#[test]
fn a_pid_file_that_cannot_be_written_fails_the_create_and_leaves_nothing() {
    let bundle = Bundle::new("sleep 1000");
    let answer = bundle.detached(&["create", "--pid-file", "/nosuch/pid", bundle.id()]);
    assert!(answer.code == 1 && answer.stderr.contains("/nosuch"), "{answer:?}");
    bundle.assert_nothing_left();
}

/// A debug build checks each descriptor that it closes: one that is closed already ends it by SIGABRT (134). A
/// build that closed what the caller had leaked only after its log was open did so; here every command has a log
/// and a caller that leaks.
#[test]
fn no_command_closes_a_descriptor_that_it_still_owns() {
    let bundle = Bundle::new("sleep 1000");
    fs::write(bundle.dir.join("process.json"), r#"{"args":["true"],"cwd":"/","env":["PATH=/bin"]}"#).unwrap();
    let id = bundle.id();
    for (args, code) in [
        (format!("run -d {id} > out 2> err"), 0),
        (format!("exec {id} true"), 0),
        (format!("exec -d {id} true > out 2> err"), 0),
        (format!("exec --preserve-fds 3 {id} true"), 0),
        (format!("exec --process process.json {id}"), 0),
        (format!("exec {id} nosuch"), 255),
        (format!("run {id}"), 1),
        (format!("state {id}"), 0),
        ("list".to_owned(), 0),
        (format!("ps {id}"), 0),
        (format!("pause {id}"), 0),
        (format!("resume {id}"), 0),
        (format!("kill {id} KILL"), 0),
        (format!("delete -f {id}"), 0),
        (format!("create --preserve-fds 7 {id} > out 2> err"), 0),
        (format!("start {id}"), 0),
        (format!("delete -f {id}"), 0),
        (format!("delete {id}"), 1),
    ] {
        for log in ["--log log", "--debug --log log.json --log-format json"] {
            let once = !(args.starts_with("exec") || code != 0 || args.starts_with("state"));
            if once && log.starts_with("--debug") {
                continue;
            }
            let opened = "3<three 4<four 5</etc 6</ 7<three 8<four 9</";
            let answer = from_a_shell(&bundle, opened, &format!("{log} {args}"));
            assert_eq!(answer.code, code, "{log} {args}: {answer:?}");
        }
    }
}

/// runc has it since 1.2.
mod ours_alone {
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::terminal::ConsoleSocket;

    fn process_of(socket: &ConsoleSocket) -> i64 {
        let pidfd = socket.receive();
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd");
        line.trim().parse().unwrap()
    }

    #[test]
    fn whoever_asks_gets_a_descriptor_of_the_process() {
        let bundle = Bundle::new("sleep 1000");
        let socket = ConsoleSocket::new(&bundle);
        let run = ["run", "-d", "--pidfd-socket", socket.path(), bundle.id()];
        assert_eq!(bundle.detached(&run).code, 0);
        assert_eq!(process_of(&socket), bundle.pid());
        let exec = [
            "exec",
            "-d",
            "--pid-file",
            "exec.pid",
            "--pidfd-socket",
            socket.path(),
            bundle.id(),
            "sleep",
            "9",
        ];
        assert_eq!(bundle.detached(&exec).code, 0);
        let noted = fs::read_to_string(bundle.dir.join("exec.pid")).unwrap();
        assert_eq!(process_of(&socket).to_string(), noted);
    }

    #[test]
    fn a_pidfd_that_nobody_takes_fails_the_create_and_leaves_nothing() {
        let bundle = Bundle::new("sleep 1000");
        let answer = bundle.detached(&["create", "--pidfd-socket", "nosuch", bundle.id()]);
        assert!(answer.code == 1 && answer.stderr.contains("nosuch"), "{answer:?}");
        bundle.assert_nothing_left();
    }
}
