//! Bad calls of every service.

use std::path::Path;

use proto::containerd::services as api;
use proto::containerd::types::Descriptor;

use super::rpc::{Rpc, Said};

pub(super) const NS: &str = "n";

async fn namespaces(rpc: &mut Rpc) {
    for bad in ["", "-bad", "a/b", "a..b", &"x".repeat(77)] {
        rpc.say(
            bad,
            "containers.v1.Containers/List",
            vec![api::containers::v1::ListContainersRequest::default()],
        )
        .await;
        rpc.say(bad, "tasks.v1.Tasks/List", vec![api::tasks::v1::ListTasksRequest::default()]).await;
        rpc.say(bad, "content.v1.Content/List", vec![api::content::v1::ListContentRequest::default()]).await;
        rpc.say(bad, "images.v1.Images/List", vec![api::images::v1::ListImagesRequest::default()]).await;
        rpc.say(bad, "leases.v1.Leases/Create", vec![api::leases::v1::CreateRequest::default()]).await;
    }
}

async fn containers(rpc: &mut Rpc) {
    use api::containers::v1 as c;
    let runtime = Some(c::container::Runtime { name: "io.containerd.runc.v2".into(), options: None });
    let spec = Some(prost_types::Any { type_url: proto::typeurl::SPEC.into(), value: b"{}".to_vec() });
    let whole = c::Container { runtime, spec, ..c::Container::default() };
    for id in ["", "-x", "a/../b", "..", &"x".repeat(77)] {
        let container = Some(c::Container { id: id.to_owned(), ..whole.clone() });
        rpc.say(NS, "containers.v1.Containers/Create", vec![c::CreateContainerRequest { container }]).await;
        rpc.say(NS, "containers.v1.Containers/Get", vec![c::GetContainerRequest { id: id.to_owned() }]).await;
        rpc.say(NS, "containers.v1.Containers/Delete", vec![c::DeleteContainerRequest { id: id.to_owned() }])
            .await;
    }
    let named = c::Container { id: "c".into(), ..whole };
    let bad = [
        c::Container { runtime: None, ..named.clone() },
        c::Container { spec: None, ..named.clone() },
        c::Container { snapshot_key: "k".into(), ..named.clone() },
        c::Container { labels: [("k".repeat(5000), String::new())].into(), ..named.clone() },
    ];
    for container in bad {
        rpc.say(
            NS,
            "containers.v1.Containers/Create",
            vec![c::CreateContainerRequest { container: Some(container) }],
        )
        .await;
    }
    rpc.say(NS, "containers.v1.Containers/Create", vec![c::CreateContainerRequest::default()]).await;
    let filters = vec!["id=x".to_owned()];
    rpc.say(NS, "containers.v1.Containers/List", vec![c::ListContainersRequest { filters }]).await;
}

async fn content(rpc: &mut Rpc) {
    use api::content::v1 as c;
    let missing = format!("sha256:{}", "a".repeat(64));
    for digest in
        ["", "sha256:zz", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256", "../../etc/passwd", &missing]
    {
        let digest = || digest.to_owned();
        rpc.say(NS, "content.v1.Content/Info", vec![c::InfoRequest { digest: digest() }]).await;
        rpc.say(NS, "content.v1.Content/Delete", vec![c::DeleteContentRequest { digest: digest() }]).await;
        rpc.say(
            NS,
            "content.v1.Content/Read",
            vec![c::ReadContentRequest { digest: digest(), offset: 0, size: 0 }],
        )
        .await;
    }
    let write = c::WriteContentRequest {
        action: c::WriteAction::Write as i32,
        r#ref: "r".into(),
        data: b"data".to_vec(),
        ..c::WriteContentRequest::default()
    };
    let commit = c::WriteContentRequest { action: c::WriteAction::Commit as i32, ..write.clone() };
    for message in [
        c::WriteContentRequest { r#ref: String::new(), ..write.clone() },
        c::WriteContentRequest { total: -1, ..write.clone() },
        c::WriteContentRequest { offset: -1, ..write.clone() },
        c::WriteContentRequest { offset: 100, ..write.clone() },
        c::WriteContentRequest { expected: "sha256:zz".into(), ..write.clone() },
        c::WriteContentRequest { action: 77, ..write.clone() },
        c::WriteContentRequest { expected: missing.clone(), ..commit.clone() },
        c::WriteContentRequest { total: 100, ..commit.clone() },
    ] {
        rpc.say(NS, "content.v1.Content/Write", vec![message]).await;
        rpc.say(NS, "content.v1.Content/Abort", vec![c::AbortRequest { r#ref: "r".into() }]).await;
    }
    rpc.say(NS, "content.v1.Content/Write", vec![commit]).await;
    let digest = integration_tests::digest(b"data");
    for (offset, size) in [(-1, 0), (0, -1), (5, 0), (4, 1), (0, 5), (i64::MAX, i64::MAX)] {
        let request = c::ReadContentRequest { digest: digest.clone(), offset, size };
        rpc.say(NS, "content.v1.Content/Read", vec![request]).await;
    }
    rpc.say(NS, "content.v1.Content/Status", vec![c::StatusRequest { r#ref: "nosuch".into() }]).await;
}

async fn images_and_snapshots(rpc: &mut Rpc) {
    use api::images::v1 as i;
    use api::snapshots::v1 as s;
    let target = |digest: &str, size| {
        Some(Descriptor { media_type: "m".into(), digest: digest.into(), size, ..Descriptor::default() })
    };
    let good = format!("sha256:{}", "a".repeat(64));
    for (name, target) in [
        ("", target(&good, 1)),
        ("n", None),
        ("n", target("", 1)),
        ("n", target("sha256:zz", 1)),
        ("n", target(&good, -1)),
        ("n", target(&good, 0)),
    ] {
        let image = Some(i::Image { name: name.into(), target, ..i::Image::default() });
        let request = i::CreateImageRequest { image: image.clone(), source_date_epoch: None };
        rpc.say(NS, "images.v1.Images/Create", vec![request]).await;
    }
    rpc.say(NS, "images.v1.Images/Get", vec![i::GetImageRequest { name: String::new() }]).await;
    rpc.say(
        NS,
        "images.v1.Images/Delete",
        vec![i::DeleteImageRequest { name: "x".into(), ..i::DeleteImageRequest::default() }],
    )
    .await;
    let prepare = |snapshotter: &str, key: &str, parent: &str| s::PrepareSnapshotRequest {
        snapshotter: snapshotter.into(),
        key: key.into(),
        parent: parent.into(),
        ..s::PrepareSnapshotRequest::default()
    };
    for request in [
        prepare("nosuch", "k", ""),
        prepare("", "k", ""),
        prepare("overlayfs", "", ""),
        prepare("overlayfs", "k", "nosuch"),
    ] {
        rpc.say(NS, "snapshots.v1.Snapshots/Prepare", vec![request]).await;
    }
    let snapshotter = || "overlayfs".to_owned();
    let commit = s::CommitSnapshotRequest {
        snapshotter: snapshotter(),
        key: "no".into(),
        name: "n".into(),
        ..s::CommitSnapshotRequest::default()
    };
    rpc.say(NS, "snapshots.v1.Snapshots/Commit", vec![commit]).await;
    let remove = s::RemoveSnapshotRequest { snapshotter: snapshotter(), key: "no".into() };
    rpc.say(NS, "snapshots.v1.Snapshots/Remove", vec![remove]).await;
    let mounts = s::MountsRequest { snapshotter: snapshotter(), key: String::new() };
    rpc.say(NS, "snapshots.v1.Snapshots/Mounts", vec![mounts]).await;
}

async fn tasks(rpc: &mut Rpc) {
    use api::tasks::v1 as t;
    for id in ["", "nosuch", "../x"] {
        let id = || id.to_owned();
        rpc.say(
            NS,
            "tasks.v1.Tasks/Create",
            vec![t::CreateTaskRequest { container_id: id(), ..t::CreateTaskRequest::default() }],
        )
        .await;
        rpc.say(
            NS,
            "tasks.v1.Tasks/Start",
            vec![t::StartRequest { container_id: id(), exec_id: String::new() }],
        )
        .await;
        rpc.say(
            NS,
            "tasks.v1.Tasks/Kill",
            vec![t::KillRequest { container_id: id(), signal: 9, ..t::KillRequest::default() }],
        )
        .await;
        rpc.say(NS, "tasks.v1.Tasks/Delete", vec![t::DeleteTaskRequest { container_id: id() }]).await;
        rpc.say(NS, "tasks.v1.Tasks/Get", vec![t::GetRequest { container_id: id(), exec_id: String::new() }])
            .await;
        rpc.say(
            NS,
            "tasks.v1.Tasks/Exec",
            vec![t::ExecProcessRequest {
                container_id: id(),
                exec_id: "-".into(),
                ..t::ExecProcessRequest::default()
            }],
        )
        .await;
        rpc.say(
            NS,
            "tasks.v1.Tasks/Wait",
            vec![t::WaitRequest { container_id: id(), exec_id: String::new() }],
        )
        .await;
    }
    let filters = vec!["id=x".to_owned()];
    rpc.say(NS, "tasks.v1.Tasks/Metrics", vec![t::MetricsRequest { filters }]).await;
}

/// Options that a runtime's shim can't read.
async fn options(rpc: &mut Rpc) {
    use api::{containers::v1 as c, tasks::v1 as t};
    let runtime = Some(c::container::Runtime { name: "io.containerd.runc.v2".into(), options: None });
    let spec = Some(prost_types::Any { type_url: proto::typeurl::SPEC.into(), value: b"{}".to_vec() });
    let container = Some(c::Container { id: "o".into(), runtime, spec, ..c::Container::default() });
    rpc.say(NS, "containers.v1.Containers/Create", vec![c::CreateContainerRequest { container }]).await;
    for type_url in ["containerd.runc.v1.Options", "nosuch.Type"] {
        let options =
            Some(prost_types::Any { type_url: type_url.into(), value: b"\xff\xff rubbish".to_vec() });
        let create =
            t::CreateTaskRequest { container_id: "o".into(), options, ..t::CreateTaskRequest::default() };
        rpc.say(NS, "tasks.v1.Tasks/Create", vec![create]).await;
        rpc.say(
            NS,
            "tasks.v1.Tasks/Get",
            vec![t::GetRequest { container_id: "o".into(), exec_id: String::new() }],
        )
        .await;
    }
    rpc.say(NS, "containers.v1.Containers/Delete", vec![c::DeleteContainerRequest { id: "o".into() }]).await;
}

async fn others(rpc: &mut Rpc) {
    use api::{events::v1 as e, leases::v1 as l};
    rpc.say(NS, "nosuch.v1.Nosuch/Do", vec![()]).await;
    rpc.say(NS, "tasks.v1.Tasks/Nosuch", vec![()]).await;
    let topics = ["", "nosuch", "/a//b", "/a b"];
    for topic in topics {
        let event = Some(prost_types::Any { type_url: "x".into(), value: Vec::new() });
        rpc.say(NS, "events.v1.Events/Publish", vec![e::PublishRequest { topic: topic.into(), event }]).await;
    }
    rpc.say(NS, "leases.v1.Leases/Delete", vec![l::DeleteRequest { id: "nosuch".into(), sync: false }]).await;
    let huge = api::content::v1::WriteContentRequest {
        r#ref: "h".into(),
        data: vec![0; 17 << 20],
        ..Default::default()
    };
    rpc.say(NS, "content.v1.Content/Write", vec![huge]).await;
}

/// All of them, on a fresh daemon.
pub(super) async fn all(socket: &Path) -> Vec<Said> {
    let mut rpc = Rpc::on(socket);
    namespaces(&mut rpc).await;
    containers(&mut rpc).await;
    content(&mut rpc).await;
    images_and_snapshots(&mut rpc).await;
    tasks(&mut rpc).await;
    options(&mut rpc).await;
    others(&mut rpc).await;
    rpc.said
}
