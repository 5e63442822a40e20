//! Single methods, and what they refuse.

use std::fs;
use std::io::Write;

use proto::containerd::runc::v1::ProcessDetails;
use proto::containerd::task::v2::*;
use proto::typeurl;

use crate::rig::{Client, Rig};

const UNKNOWN: i32 = 2;
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const FAILED_PRECONDITION: i32 = 9;

#[test]
fn wrong_states_are_refused_in_the_words_that_clients_know() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let mut client = rig.start();
    let id = rig.id.clone();
    let start = StartRequest { id: id.clone(), exec_id: "".into() };
    let delete = DeleteRequest { id: id.clone(), exec_id: "".into() };
    let pause = PauseRequest { id: id.clone() };
    let kill = |exec: &str, all| KillRequest { id: id.clone(), exec_id: exec.into(), signal: 9, all };
    assert_eq!(client.refused("Start", &start).0, NOT_FOUND);
    rig.run(&mut client, rig.create_request());
    let (code, text) = client.refused("Create", &rig.create_request());
    assert_eq!(code, ALREADY_EXISTS, "{text}");
    assert_eq!(client.refused("Start", &start), (UNKNOWN, "cannot start a running process".into()));
    assert_eq!(client.refused("Delete", &delete), (UNKNOWN, "cannot delete a running process".into()));
    let nope = StateRequest { id: id.clone(), exec_id: "nope".into() };
    assert_eq!(client.refused("State", &nope), (NOT_FOUND, "process does not exist nope: not found".into()));

    let spec = prost_types::Any { type_url: typeurl::PROCESS.into(), value: b"{}".to_vec() };
    let exec = ExecProcessRequest {
        id: id.clone(),
        exec_id: "e1".into(),
        spec: Some(spec),
        ..ExecProcessRequest::default()
    };
    client.ask::<()>("Exec", &exec);
    assert_eq!(client.refused("Exec", &exec), (ALREADY_EXISTS, "id e1: already exists".into()));
    let (code, text) = client.refused("Kill", &kill("e1", false));
    assert_eq!((code, text.starts_with("process not created")), (FAILED_PRECONDITION, true), "{text}");
    let climbing = ExecProcessRequest { exec_id: "../x".into(), ..exec.clone() };
    assert_eq!(client.refused("Exec", &climbing).0, INVALID_ARGUMENT);

    client.ask::<()>("Pause", &pause);
    assert_eq!(client.refused("Pause", &pause), (UNKNOWN, "cannot pause a paused container".into()));
    let other = ExecProcessRequest { exec_id: "e2".into(), ..exec };
    assert_eq!(client.refused("Exec", &other), (UNKNOWN, "cannot exec in a paused state".into()));
    client.ask::<()>("Resume", &ResumeRequest { id: id.clone() });
    client.ask::<()>("Kill", &kill("", false));
    assert_eq!(rig.wait(&mut client, "").exit_status, 137);
    let finished = (NOT_FOUND, "process already finished: not found".into());
    assert_eq!(client.refused("Kill", &kill("", false)), finished);
    client.ask::<()>("Kill", &kill("", true));
    let size = ResizePtyRequest { id, exec_id: "".into(), width: 1, height: 1 };
    assert_eq!(client.refused("ResizePty", &size), (UNKNOWN, "cannot resize a stopped container".into()));
    rig.finish(&mut client);
}

#[test]
fn a_paused_container_is_killed_all_the_same() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let mut client = rig.start();
    rig.run(&mut client, rig.create_request());
    client.ask::<()>("Pause", &PauseRequest { id: rig.id.clone() });
    let state: StateResponse = client.ask("State", &StateRequest { id: rig.id.clone(), exec_id: "".into() });
    assert_eq!(state.status, 4);
    rig.kill(&mut client, 9);
    assert_eq!(rig.finish(&mut client), 137);
}

#[test]
fn failures_of_the_runtime_carry_its_reason_and_leave_nothing() {
    let mut rig = Rig::new(&["/nosuch"]);
    let mut client = rig.start();
    let (code, text) = client.refused("Create", &rig.create_request());
    assert_eq!(code, UNKNOWN);
    assert!(
        text.starts_with("OCI runtime create failed: ") && text.to_lowercase().contains("no such file"),
        "{text}"
    );
    assert!(!rig.has_mounts());

    rig.runtime = "no-such-runtime".into();
    let (_, text) = client.refused("Create", &rig.create_request());
    assert!(text.contains("executable file not found in $PATH"), "{text}");
    rig.runtime = "/no/such/runtime".into();
    let (_, text) = client.refused("Create", &rig.create_request());
    assert!(text.contains("no such file or directory"), "{text}");

    let mut request = rig.create_request();
    request.rootfs[0].source = "/no/such/source".into();
    let (_, text) = client.refused("Create", &request);
    assert!(text.starts_with("failed to mount rootfs component"), "{text}");
    let mut request = rig.create_request();
    request.stdout = "json-file:///x?colour=red".into();
    assert_eq!(client.refused("Create", &request).0, INVALID_ARGUMENT);
    assert!(!rig.has_mounts());
    client.ask::<()>("Shutdown", &ShutdownRequest { id: rig.id.clone(), now: false });
}

/// What Pids names, and how many Stats counts.
fn processes(rig: &Rig, client: &mut Client) -> (Vec<(u32, Option<String>)>, Option<u64>) {
    let pids: PidsResponse = client.ask("Pids", &PidsRequest { id: rig.id.clone() });
    let mut named: Vec<(u32, Option<String>)> = pids
        .processes
        .into_iter()
        .map(|p| (p.pid, p.info.map(|i| typeurl::unpack::<ProcessDetails>(&i).expect("details").exec_id)))
        .collect();
    named.sort();
    let stats: StatsResponse = client.ask("Stats", &StatsRequest { id: rig.id.clone() });
    let any = stats.stats.expect("counters");
    let current = match any.type_url.as_str() {
        "io.containerd.cgroups.v1.Metrics" => {
            let metrics: proto::io::containerd::cgroups::v1::Metrics = typeurl::unpack(&any).expect("v1");
            metrics.pids.map(|pids| pids.current)
        }
        _ => {
            let metrics: proto::io::containerd::cgroups::v2::Metrics = typeurl::unpack(&any).expect("v2");
            metrics.pids.map(|pids| pids.current)
        }
    };
    (named, current)
}

#[test]
fn pids_name_their_execs_and_stats_come_from_the_cgroup() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let mut client = rig.start();
    let pid = rig.run(&mut client, rig.create_request());
    let exec = rig.exec(&mut client, "e1", "exec sleep 1000", "");
    let mut wanted = vec![(pid, None), (exec, Some("e1".to_owned()))];
    wanted.sort();
    // A helper of the runtime's may not have been reaped yet.
    let last = (0..200).map(|_| processes(&rig, &mut client)).find(|(named, current)| {
        let all = *named == wanted && *current == Some(2);
        if !all {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        all
    });
    assert!(last.is_some(), "{wanted:?}: {:?}", processes(&rig, &mut client));
    rig.kill(&mut client, 9);
    rig.finish(&mut client);
}

#[test]
fn update_changes_a_limit() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let mut client = rig.start();
    let pid = rig.run(&mut client, rig.create_request());
    let resources = prost_types::Any {
        type_url: typeurl::LINUX_RESOURCES.into(),
        value: br#"{"pids": {"limit": 17}}"#.to_vec(),
    };
    let request = UpdateTaskRequest { id: rig.id.clone(), resources: Some(resources), ..Default::default() };
    client.ask::<()>("Update", &request);
    let cgroup = cgroups::Cgroup::of_pid(pid as i32).expect("its cgroup");
    let dir = cgroup.controller("pids").or_else(|| cgroup.unified()).expect("a pids controller");
    assert_eq!(fs::read_to_string(dir.join("pids.max")).expect("readable").trim(), "17");
    rig.kill(&mut client, 9);
    rig.finish(&mut client);
}

#[test]
fn stdin_ends_at_close_io_and_not_before() {
    let mut rig = Rig::new(&["/bin/cat"]);
    let mut client = rig.start();
    let stdin = rig.fifo("stdin");
    let mut request = rig.create_request();
    (request.stdin, request.stdout) = (stdin.to_string_lossy().into_owned(), rig.json_log());
    rig.run(&mut client, request);
    for line in ["one\n", "two\n"] {
        // A client that closes and comes back.
        let mut file = fs::OpenOptions::new().write(true).open(&stdin).expect("somebody reads");
        file.write_all(line.as_bytes()).expect("taken");
    }
    client.ask::<()>("CloseIO", &CloseIoRequest { id: rig.id.clone(), exec_id: "".into(), stdin: true });
    assert_eq!(rig.finish(&mut client), 0);
    let lines: Vec<String> = rig.log_lines().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["one\n", "two\n"]);
}

#[test]
fn a_terminal_is_a_terminal_of_the_size_asked_for() {
    let script = "while [ \"$(stty size 2>/dev/null)\" != '33 77' ]; do sleep 0.01; done; stty size";
    let mut rig = Rig::with_config(&["/bin/sh", "-c", script], |config| {
        config["process"]["terminal"] = true.into();
    });
    let mut client = rig.start();
    let mut request = rig.create_request();
    (request.terminal, request.stdout) = (true, rig.json_log());
    rig.run(&mut client, request);
    let size = ResizePtyRequest { id: rig.id.clone(), exec_id: "".into(), width: 77, height: 33 };
    client.ask::<()>("ResizePty", &size);
    assert_eq!(rig.finish(&mut client), 0);
    assert_eq!(rig.log_lines(), [(logfile::Stream::Stdout, "33 77\r\n".to_owned())]);
}
