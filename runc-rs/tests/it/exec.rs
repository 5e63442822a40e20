//! Another process in a container.

use serde_json::json;

use crate::bundle::Bundle;

#[test]
fn exec_gives_the_exit_code_and_its_own_environment_directory_and_ids() {
    let bundle = Bundle::running();
    let id = bundle.id();
    assert_eq!(bundle.exec(&[id, "sh", "-c", "exit 6"]).code, 6);
    let script = "id -u; id -g; id -G; pwd; echo $A; echo $HOME";
    let args = ["-u", "5:6", "-g", "7", "--cwd", "/tmp", "-e", "A=b", id, "sh", "-c", script];
    let answer = bundle.exec(&args);
    assert_eq!(answer.stdout, "5\n6\n6 7\n/tmp\nb\n/\n", "{answer:?}");
}

#[test]
fn exec_takes_a_process_document() {
    let bundle = Bundle::running();
    let process = json!({"args": ["sh", "-c", "pwd; id -u"], "cwd": "/etc", "env": ["PATH=/bin"],
        "user": {"uid": 9, "gid": 9}});
    std::fs::write(bundle.dir.join("process.json"), process.to_string()).unwrap();
    assert_eq!(bundle.exec(&["--process", "process.json", bundle.id()]).stdout, "/etc\n9\n");
}

#[test]
fn what_cannot_be_executed_has_gos_texts_and_code_255() {
    let bundle = Bundle::running();
    let id = bundle.id();
    for (program, text) in [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        ("/nosuch", "exec: \"/nosuch\": stat /nosuch: no such file or directory"),
        ("/etc", "exec: \"/etc\": permission denied"),
    ] {
        let answer = bundle.exec(&[id, program]);
        assert!(answer.code == 255 && answer.stderr.contains(text), "{answer:?}");
    }
}

#[test]
fn an_exec_joins_every_namespace_of_the_container() {
    let bundle = Bundle::running();
    let script = "for n in pid net ipc uts mnt; do readlink /proc/1/ns/$n; readlink /proc/self/ns/$n; done";
    let answer = bundle.exec(&["--cap", "CAP_SYS_PTRACE", bundle.id(), "sh", "-c", script]);
    let links: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(links.len(), 10, "{answer:?}");
    assert!(links.chunks(2).all(|pair| pair[0] == pair[1]), "{links:?}");
}

#[test]
fn an_exec_is_in_the_containers_cgroup() {
    let bundle = Bundle::running();
    let answer = bundle.exec(&[bundle.id(), "cat", "/proc/self/cgroup", "/proc/1/cgroup"]);
    let lines: Vec<&str> = answer.stdout.lines().collect();
    let (own, init) = lines.split_at(lines.len() / 2);
    assert!(!own.is_empty() && own == init, "{answer:?}");
}

#[test]
fn exec_in_a_stopped_container_is_refused() {
    let bundle = Bundle::new("true");
    bundle.start_detached();
    bundle.wait_for("stopped");
    let answer = bundle.exec(&[bundle.id(), "true"]);
    assert!(answer.code == 255 && answer.stderr.contains("cannot exec in a stopped container"), "{answer:?}");
}

#[test]
fn many_short_execs_at_once_all_answer() {
    let bundle = Bundle::running();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| assert_eq!(bundle.exec(&[bundle.id(), "true"]).code, 0)));
        }
    });
}
