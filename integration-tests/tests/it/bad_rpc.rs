//! Calls that make no sense, to containerd-rs and to Debian's containerd: both answer alike.

mod calls;
mod rpc;

use integration_tests::{Containerd, Stack};
use proto::containerd::services as api;
use tonic::Code;

use self::calls::{NS, all};
pub(crate) use self::rpc::Rpc;

/// Where containerd-rs says no and containerd 1.6 takes the call (and reads from nowhere), or fails by accident.
const STRICTER: &[(&str, Code, Code)] = &[
    ("action: 77", Code::InvalidArgument, Code::Ok),
    ("offset: -1, size: 0", Code::InvalidArgument, Code::Ok),
    ("offset: 0, size: -1", Code::InvalidArgument, Code::Ok),
    (
        "Snapshots/Prepare [PrepareSnapshotRequest { snapshotter: \"overlayfs\", key: \"\"",
        Code::InvalidArgument,
        Code::Unknown,
    ),
    ("type_url: \"containerd.runc.v1.Options\"", Code::InvalidArgument, Code::Unknown),
    ("Tasks/Metrics", Code::InvalidArgument, Code::Unknown),
];

/// Without the words of the kind, which 1.6 leaves out here and doubles there.
fn bare(text: &str) -> &str {
    let mut text = text;
    for words in ["invalid argument", "out of range", "not found"] {
        while let Some(shorter) = text.strip_suffix(words) {
            text = shorter.trim_end_matches(": ");
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_rs_refuses_what_containerd_refuses_in_its_words() {
    let peer = Containerd::start();
    let theirs = all(&peer.socket()).await;
    let stack = Stack::without_engine();
    let ours = all(&stack.containerd_socket()).await;
    assert_eq!(ours.len(), theirs.len());
    let mut stricter = 0;
    for ((call, code, text), (_, their_code, their_text)) in ours.iter().zip(&theirs) {
        if STRICTER
            .iter()
            .any(|(part, ours, theirs)| call.contains(part) && (ours, theirs) == (code, their_code))
        {
            stricter += 1;
            continue;
        }
        assert_eq!(code, their_code, "{call}: {text} | {their_text}");
        // containerd itself tells in three ways how a digest is wrong; that a type is unknown is told here by
        // the shim, there by the daemon.
        let is_loose = ["igest", "label key", "nosuch.Type"].iter().any(|word| text.contains(word));
        assert!(is_loose || bare(text) == bare(their_text), "{call}:\n{text}\n{their_text}");
    }
    assert_eq!(stricter, STRICTER.len());
    stack.assert_clean(&[]);
}

/// Go's containerd 1.6 ends by these (a nil pointer).
#[tokio::test(flavor = "multi_thread")]
async fn calls_without_what_they_are_about_are_refused_and_the_daemon_lives() {
    let stack = Stack::without_engine();
    let mut rpc = Rpc::on(&stack.containerd_socket());
    rpc.say(NS, "diff.v1.Diff/Apply", vec![api::diff::v1::ApplyRequest::default()]).await;
    rpc.say(NS, "diff.v1.Diff/Diff", vec![api::diff::v1::DiffRequest::default()]).await;
    rpc.say(NS, "events.v1.Events/Forward", vec![api::events::v1::ForwardRequest::default()]).await;
    rpc.say(NS, "leases.v1.Leases/AddResource", vec![api::leases::v1::AddResourceRequest::default()]).await;
    rpc.say(NS, "transfer.v1.Transfer/Transfer", vec![api::transfer::v1::TransferRequest::default()]).await;
    for (call, code, text) in &rpc.said {
        assert!(!matches!(code, Code::Ok | Code::Internal | Code::Unavailable), "{call}: {code:?} {text}");
    }
    stack.ctr(&["version"]).ok();
}
