use std::path::Path;
use std::sync::Arc;

use proto::containerd::services::images::v1::Image;
use proto::containerd::types::Descriptor;

use super::*;
use crate::content::{Finish, Sharing, Store};
use crate::events::Exchange;
use crate::metadata::Db;
use crate::metadata::filters::Filters;
use crate::metadata::labels::Labels;
use crate::metadata::leases::Resource;
use crate::metadata::tables::{self, INGESTS, IngestRecord};
use crate::snapshots::{Overlayfs, Snapshots, Snapshotter};

struct Bed {
    dir: tempfile::TempDir,
    db: Db,
    content: Store,
    snapshots: Snapshots,
    collector: Collector,
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let db = Db::open(&dir.path().join("meta.db"), Exchange::default()).expect("metadata");
        let content = Store::open(&dir.path().join("c"), db.clone(), Sharing::Shared).expect("content");
        let overlayfs: Arc<dyn Snapshotter> =
            Arc::new(Overlayfs::open(&dir.path().join("s")).expect("overlayfs"));
        let snapshots = Snapshots::open(db.clone(), vec![overlayfs]).expect("snapshots");
        let collector = Collector::new(db.clone(), content.clone(), snapshots.clone());
        Self { dir, db, content, snapshots, collector }
    }

    fn blob(&self, text: &str, pairs: &[(&str, &str)], lease: Option<&str>) -> String {
        let mut ingest = self.content.writer("ns", text, "", 0, lease).expect("ingest");
        ingest.write(text.as_bytes()).expect("write");
        ingest.commit(Finish::default(), labels(pairs)).expect("commit").digest
    }

    fn lease(&self, id: &str, pairs: &[(&str, &str)]) {
        self.db.leases().create("ns", id, labels(pairs)).expect("lease");
    }

    fn image(&self, name: &str, target: &str, pairs: &[(&str, &str)]) {
        let target =
            Descriptor { media_type: "m".into(), digest: target.into(), size: 1, ..Descriptor::default() };
        let image =
            Image { name: name.into(), labels: labels(pairs), target: Some(target), ..Image::default() };
        self.db.images().create("ns", image, None).expect("image");
    }

    fn snapshot(&self, key: &str, parent: &str, pairs: &[(&str, &str)], lease: Option<&str>) {
        self.snapshots.prepare("ns", "overlayfs", "tmp", parent, Labels::new(), None).expect("prepare");
        self.snapshots.commit("ns", "overlayfs", key, "tmp", "", labels(pairs), lease).expect("commit");
    }

    fn has(&self, digest: &str) -> bool {
        let recorded = self.content.info("ns", digest).is_ok();
        let stored = self.content.blob_path(digest).expect("path").exists();
        assert_eq!(recorded, stored, "a record and its file go together");
        recorded
    }

    fn has_snapshot(&self, key: &str) -> bool {
        self.snapshots.stat("ns", "overlayfs", key).is_ok()
    }
}

fn directories(root: &Path) -> usize {
    std::fs::read_dir(root.join("snapshots")).expect("list").count()
}

#[test]
fn content_lives_by_leases_labels_and_images_as_in_containerd() {
    let bed = Bed::new();
    let child = |name: &str| bed.blob(name, &[], None);
    bed.lease("l", &[]);
    bed.lease("flat", &[("containerd.io/gc.flat", "")]);
    bed.lease("old", &[("containerd.io/gc.expire", "2001-01-01T00:00:00Z")]);
    bed.lease("odd", &[("containerd.io/gc.expire", "whenever")]);
    let (by_lease, by_flat, by_image, by_slash, by_bad_key) =
        (child("c1"), child("c2"), child("c3"), child("c4"), child("c5"));
    let reference = "containerd.io/gc.ref.content.0";
    let leased = bed.blob("leased", &[(reference, &by_lease)], Some("l"));
    let flat = bed.blob("flat", &[(reference, &by_flat)], Some("flat"));
    let expired = bed.blob("expired", &[], Some("old"));
    let never = bed.blob("never", &[], Some("odd"));
    let root = bed.blob("root", &[("containerd.io/gc.root", "")], None);
    let target = bed.blob(
        "target",
        &[
            (reference, &by_image),
            ("containerd.io/gc.ref.content/x", &by_slash),
            ("containerd.io/gc.ref.contentX", &by_bad_key),
        ],
        None,
    );
    bed.image("im", &target, &[]);
    let alone = child("alone");
    let back = bed.blob("back", &[("containerd.io/gc.bref.content", &target)], None);
    let back_lost = bed.blob("back lost", &[("containerd.io/gc.bref.content", &alone)], None);
    bed.collector.run().expect("collect");
    for kept in [&by_lease, &leased, &flat, &never, &root, &by_image, &by_slash, &target, &back] {
        assert!(bed.has(kept), "{kept}");
    }
    for gone in [&by_flat, &expired, &by_bad_key, &alone, &back_lost] {
        assert!(!bed.has(gone), "{gone}");
    }
    let left = bed.db.leases().list("ns", &Filters::default()).expect("list");
    assert_eq!(left.into_iter().map(|l| l.id).collect::<Vec<_>>(), ["flat", "l", "odd"]);
    bed.db.images().delete("ns", "im", None).expect("delete");
    bed.collector.run().expect("collect");
    for gone in [&target, &by_image, &by_slash, &back] {
        assert!(!bed.has(gone), "{gone}");
    }
}

#[test]
fn expired_images_go_unless_leased() {
    let bed = Bed::new();
    let (gone, held) = (bed.blob("a", &[], None), bed.blob("b", &[], None));
    let past = [("containerd.io/gc.expire", "2001-01-01T00:00:00Z")];
    bed.image("gone", &gone, &past);
    bed.image("held", &held, &past);
    bed.lease("l", &[]);
    bed.db.leases().add_resource("ns", "l", &Resource::image("held")).expect("hold");
    let report = bed.collector.run().expect("collect");
    assert_eq!((report.images, report.content), (1, 1));
    assert!(bed.db.images().get("ns", "gone").is_err() && bed.db.images().get("ns", "held").is_ok());
    assert!(bed.has(&held) && !bed.has(&gone));
}

#[test]
fn snapshots_live_by_references_and_keep_their_parents() {
    let bed = Bed::new();
    bed.lease("l", &[]);
    bed.lease("flat", &[("containerd.io/gc.flat", "")]);
    bed.snapshot("base", "", &[], None);
    bed.snapshot("top", "base", &[], None);
    bed.snapshot("flat-base", "", &[], None);
    bed.snapshot("flat-top", "flat-base", &[], Some("flat"));
    bed.snapshot("rooted", "", &[("containerd.io/gc.root", "")], None);
    bed.snapshot("leased", "", &[], Some("l"));
    bed.snapshot("alone-base", "", &[], None);
    bed.snapshot("alone", "alone-base", &[], None);
    let config = bed.blob("config", &[("containerd.io/gc.ref.snapshot.overlayfs", "top")], Some("l"));
    bed.collector.run().expect("collect");
    for kept in ["base", "top", "flat-base", "flat-top", "rooted", "leased"] {
        assert!(bed.has_snapshot(kept), "{kept}");
    }
    assert!(!bed.has_snapshot("alone") && !bed.has_snapshot("alone-base"));
    assert!(bed.has(&config));
    assert_eq!(directories(&bed.dir.path().join("s")), 6, "directories go with their records");
    bed.db.leases().delete("ns", "l").expect("delete");
    bed.collector.run().expect("collect");
    assert!(!bed.has_snapshot("top") && !bed.has_snapshot("leased") && bed.has_snapshot("rooted"));
}

#[test]
fn stale_ingests_go_after_their_day_unless_leased_or_being_written() {
    let bed = Bed::new();
    bed.lease("l", &[]);
    for (reference, lease) in [("stale", None), ("leased", Some("l")), ("busy", None), ("young", None)] {
        let mut ingest = bed.content.writer("ns", reference, "", 0, lease).expect("ingest");
        ingest.write(b"half").expect("write");
    }
    for reference in ["stale", "leased", "busy"] {
        bed.db
            .write(|txn| {
                let mut record: IngestRecord = tables::get(txn, INGESTS, "ns", reference)?.expect("recorded");
                record.expires_at = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
                tables::put(txn, INGESTS, "ns", reference, &record)
            })
            .expect("age it");
    }
    let busy = bed.content.writer("ns", "busy", "", 0, None).expect("ingest");
    assert_eq!(bed.collector.run().expect("collect").ingests, 1);
    let left = bed.content.statuses("ns", &Filters::default()).expect("list");
    assert_eq!(left.into_iter().map(|s| s.reference).collect::<Vec<_>>(), ["busy", "leased", "young"]);
    assert_eq!(std::fs::read_dir(bed.dir.path().join("c/ingest")).expect("list").count(), 3);
    drop(busy);
    assert_eq!(bed.collector.run().expect("collect").ingests, 1);
}

#[test]
fn a_blob_of_two_namespaces_keeps_its_file_for_the_one_that_holds_it() {
    let bed = Bed::new();
    let digest = bed.blob("both", &[], None);
    let mut ingest = bed.content.writer("other", "r", &digest, 0, None).expect("shared");
    ingest.commit(Finish::default(), labels(&[("containerd.io/gc.root", "")])).expect("commit");
    bed.collector.run().expect("collect");
    assert!(bed.content.info("ns", &digest).is_err());
    assert_eq!(bed.content.read_all("other", &digest, 10).expect("read"), b"both");
}

#[test]
fn commits_at_the_same_time_as_collections_lose_nothing() {
    let bed = Bed::new();
    bed.lease("l", &[]);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let bed = &bed;
                scope.spawn(move || {
                    for n in 0..15 {
                        // The same few blobs over and over: committed, let go, committed again.
                        let text = format!("blob {}", n % 3);
                        let reference = format!("{writer}-{n}");
                        let mut ingest =
                            bed.content.writer("ns", &reference, "", 0, Some("l")).expect("ingest");
                        ingest.write(text.as_bytes()).expect("write");
                        let digest = ingest.digest();
                        match ingest.commit(Finish::default(), Labels::new()) {
                            Ok(_) => {}
                            Err(e) => assert_eq!(e.kind(), crate::error::Kind::AlreadyExists),
                        }
                        let _ = bed.db.leases().delete_resource("ns", "l", &Resource::content(&digest));
                    }
                })
            })
            .collect();
        while writers.iter().any(|w| !w.is_finished()) {
            bed.collector.run().expect("collect");
        }
    });
    for info in bed.content.list("ns", &Filters::default()).expect("list") {
        let bytes = bed.content.read_all("ns", &info.digest, 100).expect("its file is there");
        assert!(bytes.starts_with(b"blob "));
    }
    bed.collector.run().expect("collect");
    assert_eq!(std::fs::read_dir(bed.dir.path().join("c/blobs/sha256")).expect("list").count(), 0);
}

#[tokio::test]
async fn the_schedule_collects_after_a_deletion_by_itself() {
    let bed = Bed::new();
    let task = tokio::spawn(schedule(bed.db.clone(), bed.collector.clone()));
    bed.lease("l", &[]);
    let digest = bed.blob("x", &[], Some("l"));
    bed.db.leases().delete("ns", "l").expect("delete");
    while bed.content.info("ns", &digest).is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    task.abort();
}
