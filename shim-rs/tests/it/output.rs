//! Where output goes, and that the container never waits for somebody who has gone.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use logfile::{BinaryLogger, LogUri, Mark, Stream};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use proto::containerd::task::v2::ShutdownRequest;

use crate::rig::{Rig, SHIM};

#[test]
fn all_output_is_in_the_log_when_the_exit_is_told() {
    let mut rig = Rig::shell("seq 1 20000; echo last >&2; printf tail");
    let mut client = rig.start();
    let mut request = rig.create_request();
    (request.stdout, request.stderr) = (rig.json_log(), rig.json_log());
    rig.run(&mut client, request);
    assert_eq!(rig.wait(&mut client, "").exit_status, 0);
    let lines = rig.log_lines();
    let out: String =
        lines.iter().filter(|(s, _)| *s == Stream::Stdout).map(|(_, line)| line.as_str()).collect();
    let wanted: String = (1..=20000).map(|n| format!("{n}\n")).collect::<String>() + "tail";
    assert!(out == wanted, "{} of {} bytes", out.len(), wanted.len());
    assert_eq!(lines.iter().filter(|(s, _)| *s == Stream::Stderr).count(), 1);
    rig.finish(&mut client);
}

#[test]
fn a_rotated_compressed_log_misses_nothing() {
    let mut rig = Rig::shell("seq 1 20000");
    let mut client = rig.start();
    let mut request = rig.create_request();
    request.stdout = format!("{}?max-size=100k&max-file=50&compress=true", rig.json_log());
    rig.run(&mut client, request);
    rig.finish(&mut client);
    let wanted: Vec<String> = (1..=20000).map(|n| format!("{n}\n")).collect();
    let lines: Vec<String> = rig.log_lines().into_iter().map(|(_, line)| line).collect();
    assert!(lines == wanted, "{} of {} lines", lines.len(), wanted.len());
    assert!(rig.path("c.log.2.gz").exists());
}

#[test]
fn plain_files_are_appended_to_and_their_directories_made() {
    let mut rig = Rig::shell("echo out; echo err >&2");
    let mut client = rig.start();
    let mut request = rig.create_request();
    request.stdout = format!("file://{}", rig.path("new/out").display());
    request.stderr = format!("file://{}", rig.path("new/err").display());
    rig.run(&mut client, request);
    rig.finish(&mut client);
    assert_eq!(fs::read_to_string(rig.path("new/out")).expect("readable"), "out\n");
    assert_eq!(fs::read_to_string(rig.path("new/err")).expect("readable"), "err\n");
}

#[test]
fn a_fifo_gives_its_reader_everything_and_then_the_end() {
    let mut rig = Rig::shell("seq 1 50000");
    let mut client = rig.start();
    let fifo = rig.fifo("stdout");
    let path = fifo.clone();
    let reader = std::thread::spawn(move || fs::read_to_string(path).expect("readable"));
    let mut request = rig.create_request();
    request.stdout = fifo.to_string_lossy().into_owned();
    rig.run(&mut client, request);
    assert_eq!(rig.wait(&mut client, "").exit_status, 0);
    let wanted: String = (1..=50000).map(|n| format!("{n}\n")).collect();
    assert!(reader.join().expect("read") == wanted);
    rig.finish(&mut client);
}

#[test]
fn a_reader_that_has_gone_blocks_nobody_and_one_that_comes_back_gets_the_newest() {
    let mut rig = Rig::shell("seq 1 300000; echo the end");
    let mut client = rig.start();
    let fifo = rig.fifo("stdout");
    let open = || fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo);
    let reader = open().expect("a fifo");
    let mut request = rig.create_request();
    request.stdout = format!("fifo://{}", fifo.display());
    rig.run(&mut client, request);
    drop(reader);
    assert_eq!(rig.wait(&mut client, "").exit_status, 0);
    let text = fs::read_to_string(&fifo).expect("readable");
    assert!(text.ends_with("300000\nthe end\n"), "{} bytes", text.len());
    rig.finish(&mut client);
}

#[test]
fn a_tee_without_a_reader_is_no_obstacle_and_one_with_gets_mark_and_copy() {
    let script = "echo one; printf tw; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo o; echo three";
    let mut rig = Rig::shell(script);
    let mut client = rig.start();
    let tee = rig.fifo("tee");
    let mut request = rig.create_request();
    request.stdout = format!("{}?tee={}&tee-mark=true", rig.json_log(), tee.display());
    rig.run(&mut client, request);
    while fs::metadata(rig.path("c.log")).map_or(0, |meta| meta.len()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut reader =
        fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&tee).expect("a fifo");
    fs::write(rig.path("lower/tmp/go"), "").expect("writable");
    rig.finish(&mut client);
    let mut copy = Vec::new();
    reader.read_to_end(&mut copy).expect("readable");
    let (mark, head, pending) = Mark::decode_head(&copy).expect("a mark");
    assert!(mark.offset > 0);
    // `tw` may have reached the shim after `one` or with it; either way it isn't in the log before the mark.
    assert_eq!(String::from_utf8_lossy(&copy[head..]), "two\nthree\n");
    assert!(pending <= 2);
}

#[test]
fn a_binary_logger_writes_the_same_log() {
    let mut rig = Rig::shell("echo out; echo err >&2; printf tail");
    let mut client = rig.start();
    let log: LogUri = format!("{}?attr.tag=x", rig.json_log()).parse().expect("a good URI");
    let uri = BinaryLogger { log, tee_stderr: None }.uri(SHIM.as_ref());
    let mut request = rig.create_request();
    (request.stdout, request.stderr) = (uri.clone(), uri);
    rig.run(&mut client, request);
    rig.finish(&mut client);
    // The logger is a process of its own, which ends by itself after the container.
    let mut lines = rig.log_lines();
    while lines.len() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        lines = rig.log_lines();
    }
    lines.sort_by_key(|(_, line)| line.clone());
    let texts: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(texts, ["err\n", "out\n", "tail"]);
}

/// Go's shim sends SIGTERM when it deletes a task, whether or not the logger has got round to reading.
#[test]
fn a_binary_logger_told_to_end_takes_what_was_written_first() {
    let mut rig = Rig::shell("while ! [ -e /tmp/go ]; do usleep 1000; done; echo last words");
    let mut client = rig.start();
    let log: LogUri = rig.json_log().parse().expect("a good URI");
    let mut request = rig.create_request();
    request.stdout = BinaryLogger { log, tee_stderr: None }.uri(SHIM.as_ref());
    request.stderr = request.stdout.clone();
    rig.run(&mut client, request);
    let logger = logger_of(&rig.path("c.log"));
    let signal = |signal| nix::sys::signal::kill(logger, signal).expect("signal the logger");
    signal(Signal::SIGSTOP);
    fs::write(rig.path("lower/tmp/go"), "").expect("writable");
    rig.finish(&mut client);
    signal(Signal::SIGTERM);
    signal(Signal::SIGCONT);
    while Path::new(&format!("/proc/{logger}/fd/3")).exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(rig.log_lines().into_iter().map(|(_, line)| line).collect::<Vec<_>>(), ["last words\n"]);
}

/// The process that writes a log.
fn logger_of(log: &Path) -> Pid {
    let of = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.starts_with(SHIM) && line.contains(&*log.to_string_lossy())
    };
    let mut entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pid = entries.find_map(|entry| entry.file_name().to_str()?.parse().ok().filter(of));
    Pid::from_raw(pid.expect("a logger runs"))
}

#[test]
fn a_logger_that_cannot_start_fails_the_create() {
    let mut rig = Rig::shell("true");
    let mut client = rig.start();
    let mut request = rig.create_request();
    request.stdout = "binary:///no/such/logger?a=b".into();
    let (_, text) = client.refused("Create", &request);
    assert!(text.contains("/no/such/logger"), "{text}");
    assert!(!rig.has_mounts());
    client.ask::<()>("Shutdown", &ShutdownRequest { id: rig.id.clone(), now: false });
}
