//! Containers' specs that are broken, empty or huge, by `ctr` and by the bytes.

use std::path::Path;

use integration_tests::{Client, Containerd, Stack, busybox_rootfs, namespace};
use proto::containerd::services as api;
use serde_json::{Value, json};
use tonic::Code;

use crate::bad_rpc::Rpc;

const SHIMS: [&str; 2] = ["io.containerd.runc.v2", "io.containerd.runcrs.v2"];

/// A spec that runs `true` on a root file system at `rootfs`.
fn spec(rootfs: &Path) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["/bin/true"], "env": ["PATH=/bin"]},
        "root": {"path": rootfs},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}
    })
}

/// A spec's text, and what the error names.
fn bad_specs(rootfs: &Path) -> Vec<(String, &'static str)> {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut spec = spec(rootfs);
        change(&mut spec);
        spec.to_string()
    };
    let many: Vec<Value> = (0..20_000)
        .map(|n| json!({"destination": format!("/m{n}"), "type": "nosuchfs", "source": "x"}))
        .collect();
    vec![
        ("{\"ociVersion\":".into(), "unexpected end of JSON input"),
        (String::new(), "unexpected end of JSON input"),
        ("[1]".into(), "cannot unmarshal array"),
        (format!("{{\"x\":{}", "[".repeat(100_000)), "exceeded max depth"),
        (with(&|spec| drop(spec.as_object_mut().map(|spec| spec.remove("process")))), "process"),
        (with(&|spec| spec["process"]["args"] = json!([])), "args"),
        (
            with(&|spec| spec["process"]["env"] = json!([format!("A={}", "x".repeat(10_000_000))])),
            "argument list too long",
        ),
        (with(&|spec| spec["mounts"] = json!(many)), "no such device"),
        (with(&|spec| spec["root"]["path"] = json!("/nosuch/rootfs")), "/nosuch/rootfs"),
    ]
}

fn ctr_refuses(name: &str, ctr: &Client, dir: &Path, shim: &str) {
    let (rootfs, config) = (dir.join("spec-rootfs"), dir.join("spec.json"));
    if !rootfs.exists() {
        busybox_rootfs(&rootfs);
    }
    let path = config.to_str().expect("UTF-8");
    let run = ["run", "--rm", "--runtime", shim, "--config", path, "c1"];
    for (text, words) in bad_specs(&rootfs) {
        std::fs::write(&config, &text).expect("write the spec");
        let output = ctr.run(&run);
        let shown = &text[..text.len().min(80)];
        assert!(output.code != 0 && output.stderr.contains(words), "{name}: {shown}: {}", output.stderr);
        assert_eq!(ctr.run(&["task", "ls", "-q"]).ok(), "", "{name}: {shown}");
        ctr.run(&["containers", "rm", "c1"]);
    }
    std::fs::write(&config, spec(&rootfs).to_string()).expect("write the spec");
    assert_eq!(ctr.run(&run).code, 0, "{name}: a good one");
}

#[test]
fn ctr_is_told_what_is_wrong_with_a_spec_and_nothing_is_left() {
    let peer = Containerd::start();
    ctr_refuses("containerd", &peer.ctr(), peer.dir(), SHIMS[0]);
    let stack = Stack::without_engine();
    for shim in SHIMS {
        ctr_refuses(shim, &stack.ctr_client(), stack.dir(), shim);
    }
    stack.assert_clean(&["c1"]);
}

/// Codes of creating a container with a spec of these bytes, and its task.
async fn codes(socket: &Path, namespace: &str) -> Vec<Code> {
    use api::{containers::v1 as c, tasks::v1 as t};
    let mut rpc = Rpc::on(socket);
    let deep = "[".repeat(100_000);
    for value in ["", "{", "[]", "5", "\u{1}\u{2}", "{}", deep.as_str()] {
        let spec = Some(prost_types::Any { type_url: proto::typeurl::SPEC.into(), value: value.into() });
        let runtime = Some(c::container::Runtime { name: SHIMS[0].into(), options: None });
        let container = Some(c::Container { id: "c1".into(), runtime, spec, ..c::Container::default() });
        rpc.say(namespace, "containers.v1.Containers/Create", vec![c::CreateContainerRequest { container }])
            .await;
        let create = t::CreateTaskRequest { container_id: "c1".into(), ..t::CreateTaskRequest::default() };
        rpc.say(namespace, "tasks.v1.Tasks/Create", vec![create]).await;
        let delete = c::DeleteContainerRequest { id: "c1".into() };
        rpc.say(namespace, "containers.v1.Containers/Delete", vec![delete]).await;
    }
    rpc.said.into_iter().map(|(_, code, _)| code).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_spec_make_no_task() {
    let peer = Containerd::start();
    let theirs = codes(&peer.socket(), &namespace(peer.dir())).await;
    let stack = Stack::without_engine();
    let ours = codes(&stack.containerd_socket(), &namespace(stack.dir())).await;
    assert_eq!(ours, theirs);
    assert_eq!(ours.iter().filter(|code| **code == Code::Unknown).count(), 7, "{ours:?}");
    stack.assert_clean(&["c1"]);
}
