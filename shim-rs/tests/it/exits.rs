//! Ends of processes: in order, once, and on time.

use proto::containerd::events::{TaskExit, TaskOom};
use proto::containerd::task::v2::*;

use crate::rig::{Events, Rig};

#[test]
fn an_exec_has_a_life_of_its_own() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let events = Events::listen(&rig);
    let mut client = rig.start();
    rig.run(&mut client, rig.create_request());
    let pid = rig.exec(&mut client, "e1", "echo hi; exit 4", &rig.json_log());
    assert_eq!(rig.wait(&mut client, "e1").exit_status, 4);
    assert_eq!(rig.log_lines().len(), 1);
    let deleted = rig.delete(&mut client, "e1");
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 4));
    let again = DeleteRequest { id: rig.id.clone(), exec_id: "e1".into() };
    assert_eq!(client.refused("Delete", &again).0, 5);
    rig.kill(&mut client, 15);
    rig.kill(&mut client, 9);
    assert_eq!(rig.finish(&mut client), 137);
    assert_eq!(
        events.topics(7),
        [
            "/tasks/create",
            "/tasks/start",
            "/tasks/exec-added",
            "/tasks/exec-started",
            "/tasks/exit",
            "/tasks/exit",
            "/tasks/delete"
        ]
    );
}

#[test]
fn a_death_by_a_real_time_signal_is_an_exit_like_any_other() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let mut client = rig.start();
    rig.run(&mut client, rig.create_request());
    rig.exec(&mut client, "e1", "kill -40 $$", "");
    assert_eq!(rig.wait(&mut client, "e1").exit_status, 168);
    rig.kill(&mut client, 9);
    rig.finish(&mut client);
}

#[test]
fn execs_end_before_their_init_does() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let events = Events::listen(&rig);
    let mut client = rig.start();
    rig.run(&mut client, rig.create_request());
    for exec in ["e1", "e2", "e3"] {
        rig.exec(&mut client, exec, "sleep 1000", "");
    }
    events.topics(2 + 3 * 2);
    rig.kill(&mut client, 9);
    assert_eq!(rig.wait(&mut client, "").exit_status, 137);
    let mut ids: Vec<String> = (0..4).map(|_| events.take::<TaskExit>().id).collect();
    assert_eq!(ids.pop(), Some(rig.id.clone()), "the init comes last");
    ids.sort();
    assert_eq!(ids, ["e1", "e2", "e3"]);
    rig.finish(&mut client);
}

#[test]
fn what_an_exec_leaves_running_keeps_its_output_but_not_its_exit() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let mut client = rig.start();
    rig.run(&mut client, rig.create_request());
    rig.exec(&mut client, "e1", "sleep 1000 & echo done", &rig.json_log());
    assert_eq!(rig.wait(&mut client, "e1").exit_status, 0);
    assert_eq!(rig.log_lines().len(), 1);
    rig.delete(&mut client, "e1");
    rig.kill(&mut client, 9);
    rig.finish(&mut client);
}

#[test]
fn everybody_who_waits_is_answered_and_so_is_who_asks_later() {
    let mut rig = Rig::new(&["/bin/sleep", "1000"]);
    let mut client = rig.start();
    let wait = WaitRequest { id: rig.id.clone(), exec_id: "".into() };
    let mut other = rig.connect();
    client.ask::<CreateTaskResponse>("Create", &rig.create_request());
    let early = other.send("containerd.task.v2.Task", "Wait", &wait);
    let late = other.send("containerd.task.v3.Task", "Wait", &wait);
    client.ask::<StartResponse>("Start", &StartRequest { id: rig.id.clone(), exec_id: "".into() });
    rig.kill(&mut client, 9);
    let mut answered: Vec<u32> = (0..2).map(|_| other.receive().0).collect();
    answered.sort();
    assert_eq!(answered, [early, late]);
    assert_eq!(rig.wait(&mut other, "").exit_status, 137);
    rig.finish(&mut client);
}

#[test]
fn without_a_pid_namespace_the_rest_dies_with_the_init() {
    let mut rig = Rig::with_config(&["/bin/sh", "-c", "sleep 1000 & echo $!; exit 2"], |config| {
        config["linux"]["namespaces"] =
            serde_json::json!([{"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]);
    });
    let mut client = rig.start();
    let mut request = rig.create_request();
    request.stdout = rig.json_log();
    rig.run(&mut client, request);
    assert_eq!(rig.wait(&mut client, "").exit_status, 2);
    let pid = rig.log_lines()[0].1.trim().to_owned();
    let alive =
        || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while alive() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    rig.finish(&mut client);
}

#[test]
fn a_container_that_was_never_started_can_be_deleted() {
    let mut rig = Rig::shell("exit 9");
    let events = Events::listen(&rig);
    let mut client = rig.start();
    let created: CreateTaskResponse = client.ask("Create", &rig.create_request());
    let deleted = rig.delete(&mut client, "");
    assert_eq!((deleted.pid, deleted.exit_status), (created.pid, 137));
    assert!(!rig.has_mounts());
    client.ask::<()>("Shutdown", &ShutdownRequest { id: rig.id.clone(), now: false });
    assert_eq!(events.topics(3), ["/tasks/create", "/tasks/exit", "/tasks/delete"]);
}

#[test]
fn a_kill_for_want_of_memory_is_told() {
    let mut rig = Rig::with_config(&["/bin/sh", "-c", "x=$(yes | head -c 200000000); exit 1"], |config| {
        config["linux"]["resources"] = serde_json::json!({"memory": {"limit": 20_000_000}});
    });
    let events = Events::listen(&rig);
    let mut client = rig.start();
    rig.run(&mut client, rig.create_request());
    assert_ne!(rig.wait(&mut client, "").exit_status, 0);
    events.topics(2);
    assert_eq!(events.take::<TaskOom>().container_id, rig.id);
    rig.finish(&mut client);
}
