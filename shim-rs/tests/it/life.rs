//! From `start` to `delete`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use prost::Message;
use proto::containerd::events::{TaskCreate, TaskDelete, TaskExit, TaskStart};
use proto::containerd::task::v2::*;

use crate::rig::{Events, Rig, text};

#[test]
fn a_container_goes_through_its_life_and_leaves_nothing() {
    let mut rig = Rig::shell("exit 7");
    let events = Events::listen(&rig);
    let mut client = rig.start();
    let socket = std::path::PathBuf::from(rig.address().trim_start_matches("unix://"));
    assert_eq!(fs::metadata(&socket).expect("the socket").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(rig.bundle.join("address")).expect("an address file"), rig.address());
    let pid = rig.run(&mut client, rig.create_request());
    let ended = rig.wait(&mut client, "");
    assert_eq!(ended.exit_status, 7);
    let state: StateResponse = client.ask("State", &StateRequest { id: rig.id.clone(), exec_id: "".into() });
    assert_eq!((state.pid, state.status, state.exit_status), (pid, 3, 7));
    assert_eq!(rig.finish(&mut client), 7);

    assert_eq!(events.take::<TaskCreate>().pid, pid);
    assert_eq!(events.take::<TaskStart>().pid, pid);
    let exit = events.take::<TaskExit>();
    assert_eq!((exit.id.as_str(), exit.exit_status, exit.exited_at), (rig.id.as_str(), 7, ended.exited_at));
    assert_eq!(events.take::<TaskDelete>().exit_status, 7);
    assert!(!rig.has_mounts());
    assert!(!socket.exists(), "the socket is removed at Shutdown");
}

#[test]
fn v3_is_served_on_the_same_socket_and_unknown_services_and_methods_are_unimplemented() {
    let mut rig = Rig::shell("true");
    let mut client = rig.start();
    let request = ConnectRequest { id: rig.id.clone() };
    for (service, method, code) in [
        ("containerd.task.v3.Task", "Connect", 0),
        ("containerd.task.v3.Task", "Dance", 12),
        ("containerd.task.v9.Task", "Connect", 12),
    ] {
        client.send(service, method, &request);
        let (_, response) = client.receive();
        assert_eq!(response.status.map_or(0, |status| status.code), code, "{service}/{method}");
    }
}

#[test]
fn containers_of_a_group_share_a_shim_that_stays_until_the_last_has_gone() {
    let grouped = |config: &mut serde_json::Value| {
        config["annotations"] =
            serde_json::json!({"io.kubernetes.cri.sandbox-id": std::process::id().to_string()});
    };
    let mut first = Rig::with_config(&["/bin/sleep", "1000"], grouped);
    let second = Rig::with_config(&["/bin/sleep", "1000"], grouped);
    let mut client = first.start();
    let output = second
        .shim("start")
        .args(["-address", &first.path("daemon.sock").to_string_lossy()])
        .output()
        .expect("executable");
    assert_eq!(text(&output), first.address());
    first.run(&mut client, first.create_request());
    second.run(&mut client, second.create_request());
    second.kill(&mut client, 9);
    assert_eq!(second.finish(&mut client), 137);
    let state: StateResponse =
        client.ask("State", &StateRequest { id: first.id.clone(), exec_id: "".into() });
    assert_eq!(state.status, 2, "the other one runs on");
    first.kill(&mut client, 9);
    assert_eq!(first.finish(&mut client), 137);
}

fn delete_response(rig: &Rig) -> DeleteResponse {
    let output = rig.shim("delete").output().expect("executable");
    assert!(output.status.success(), "{output:?}");
    DeleteResponse::decode(output.stdout.as_slice()).expect("a DeleteResponse")
}

fn kill_shim(rig: &Rig, client: &mut crate::rig::Client) {
    let answer: ConnectResponse = client.ask("Connect", &ConnectRequest { id: rig.id.clone() });
    let pid = nix::unistd::Pid::from_raw(answer.shim_pid as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("our shim");
}

#[test]
fn delete_after_the_shims_death_kills_the_container_and_says_137() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let mut client = rig.start();
    let pid = rig.run(&mut client, rig.create_request());
    kill_shim(&rig, &mut client);
    let response = delete_response(&rig);
    assert_eq!((response.pid, response.exit_status), (pid, 137));
    assert!(response.exited_at.is_some());
    assert!(!std::path::Path::new(rig.address().trim_start_matches("unix://")).exists());
    assert!(!rig.has_mounts());
    assert!(rig.bundle.join("config.json").exists(), "the bundle is the daemon's to remove");
    assert!(!std::path::Path::new(&format!("/proc/{pid}/root/bin")).exists());
}

#[test]
fn delete_reports_the_true_exit_of_a_container_that_ended_before_its_shim_died() {
    let mut rig = Rig::shell("exit 5");
    let mut client = rig.start();
    rig.run(&mut client, rig.create_request());
    let ended = rig.wait(&mut client, "");
    kill_shim(&rig, &mut client);
    let response = delete_response(&rig);
    assert_eq!((response.exit_status, response.exited_at), (5, ended.exited_at));
}

#[test]
fn delete_is_harmless_when_nothing_is_left_even_its_directory() {
    let rig = Rig::shell("true");
    assert_eq!(delete_response(&rig).pid, 0);
    let gone = rig.path("gone");
    fs::create_dir(&gone).expect("a directory");
    let script = "rmdir \"$PWD\" && exec \"$0\" \"$@\"";
    let output = std::process::Command::new("/bin/sh")
        .args([
            "-c",
            script,
            crate::rig::SHIM,
            "-namespace",
            "n",
            "-id",
            "x",
            "-bundle",
            "/nonexistent/b",
            "delete",
        ])
        .current_dir(&gone)
        .output()
        .expect("executable");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(DeleteResponse::decode(output.stdout.as_slice()).expect("a response").exit_status, 137);
}

#[test]
fn events_wait_for_a_daemon_that_is_away_and_come_in_order_once() {
    let mut rig = Rig::shell("exit 3");
    // The daemon's log has gone with it, which is no reason to die.
    let log = rig.bundle.join("log");
    nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let reader = fs::OpenOptions::new().read(true).write(true).open(&log).expect("a fifo");
    let mut client = rig.start();
    client.ask::<ConnectResponse>("Connect", &ConnectRequest { id: rig.id.clone() });
    drop(reader);
    rig.run(&mut client, rig.create_request());
    assert_eq!(rig.wait(&mut client, "").exit_status, 3);
    assert!(fs::metadata(rig.bundle.join("events")).expect("a journal").len() > 0);
    let events = Events::listen(&rig);
    assert_eq!(events.topics(3), ["/tasks/create", "/tasks/start", "/tasks/exit"]);
    rig.finish(&mut client);
    assert_eq!(events.topics(1), ["/tasks/delete"]);
}
