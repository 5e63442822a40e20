//! Pulling through the daemon's own Transfer service, as `ctr` 2.x and engined do.

use std::time::Duration;

use containerd_client::{Client, PullRequest};
use integration_tests::{Census, Stack};
use proto::containerd::types::Platform;

const IMAGE: &str = "127.0.0.1:5000/busybox:1";

async fn pull(stack: &Stack, reference: &str, snapshotter: &str) -> Result<Vec<String>, String> {
    let namespace = integration_tests::namespace(stack.dir());
    let client =
        Client::new(&stack.containerd_socket(), &namespace, Duration::from_secs(10)).expect("client");
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), ..Platform::default() };
    let request = PullRequest {
        reference: reference.to_owned(),
        platform,
        snapshotter: snapshotter.to_owned(),
        ..PullRequest::default()
    };
    let mut pulling = client.pull(request).await.map_err(|error| format!("{error:?}"))?;
    let mut events = Vec::new();
    while let Some(progress) = pulling.progress().await {
        events.push(progress.event);
    }
    pulling.end().await.map_err(|error| format!("{error:?}"))?;
    Ok(events)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_unpacked_and_run_with_both_snapshotters() {
    let stack = Stack::without_engine();
    for snapshotter in ["overlayfs", "native"] {
        let events = pull(&stack, IMAGE, snapshotter).await.expect("pull");
        let count = |event: &str| events.iter().filter(|e| *e == event).count();
        assert!(events.iter().any(|e| e.starts_with("Completed pull")), "{events:?}");
        if snapshotter == "overlayfs" {
            assert_eq!(count("complete"), 5, "manifest, configuration, three layers: {events:?}");
        } else {
            assert_eq!(count("already exists"), 5, "nothing is fetched twice: {events:?}");
        }
        let run = ["run", "--rm", "--snapshotter", snapshotter, IMAGE, "c1", "cat", "/layers/third"];
        assert_eq!(stack.ctr(&run).ok(), "third", "{snapshotter}");
    }
    assert_eq!(stack.ctr(&["leases", "ls", "-q"]).ok(), "", "a pull's lease is let go");
    stack.ctr(&["images", "rm", "--sync", IMAGE]).ok();
    assert_eq!(stack.ctr(&["content", "ls", "-q"]).ok(), "");
    assert_eq!(stack.ctr(&["snapshots", "ls"]).ok().lines().count(), 1, "the heading alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_that_fail_say_why_and_leave_nothing() {
    let stack = Stack::without_engine();
    let error = pull(&stack, "127.0.0.1:5000/nosuch:1", "overlayfs").await.expect_err("no such image");
    assert!(error.contains("not found"), "{error}");
    let error = pull(&stack, "127.0.0.1:1/busybox:1", "overlayfs").await.expect_err("nobody listens");
    assert!(error.contains("failed to do request"), "{error}");
    let error = pull(&stack, "127.0.0.1:5000/Upper:1", "overlayfs").await.expect_err("no reference");
    assert!(error.contains("invalid reference format") || error.contains("lowercase"), "{error}");
    // A layer that was damaged on the registry's disk.
    let blobs = stack.dir().join("registry/docker/registry/v2/blobs/sha256");
    let find = format!("find {} -name data -size +100k", blobs.display());
    let layer = stack.shell(&find).ok();
    stack.shell(&format!("dd if=/dev/zero of={layer} bs=1 seek=5000 count=64 conv=notrunc 2>/dev/null")).ok();
    let error = pull(&stack, IMAGE, "overlayfs").await.expect_err("a damaged layer");
    assert!(error.contains("unexpected commit digest") || error.contains("apply the layer"), "{error}");
    assert_eq!(stack.ctr(&["images", "ls", "-q"]).ok(), "");
    assert_eq!(stack.ctr(&["snapshots", "ls"]).ok().lines().count(), 1, "no half-made snapshot");
    Census::of(stack.dir().to_str().expect("UTF-8")).assert_empty();
}
