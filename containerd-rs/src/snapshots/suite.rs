//! What every snapshotter must do; run on each implementation. Needs root for its mounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::error::Kind;
use crate::events::Exchange;
use crate::metadata::Db;
use crate::metadata::filters::Filters;
use crate::metadata::labels::Labels;
use crate::metadata::tables::SnapshotKind;

type Open = fn(&Path) -> Arc<dyn Snapshotter>;

fn overlayfs(dir: &Path) -> Arc<dyn Snapshotter> {
    Arc::new(Overlayfs::open(dir).expect("open overlayfs"))
}

fn native(dir: &Path) -> Arc<dyn Snapshotter> {
    Arc::new(Native::open(dir).expect("open native"))
}

/// One daemon's worth of snapshots in a temporary directory.
struct Bed {
    dir: tempfile::TempDir,
    db: Db,
    all: Snapshots,
    name: &'static str,
}

impl Bed {
    fn new(open: Open) -> Self {
        // A tmpfs or ext4 directory can be overlay's upper; /tmp may itself be an overlay.
        let dir = tempfile::tempdir_in("/var/tmp").expect("temp dir");
        Self::at(dir, open)
    }

    fn at(dir: tempfile::TempDir, open: Open) -> Self {
        let db = Db::open(&dir.path().join("meta.db"), Exchange::default()).expect("open metadata");
        let snapshotter = open(&dir.path().join("root"));
        let name = snapshotter.name();
        let all = Snapshots::open(db.clone(), vec![snapshotter]).expect("open snapshots");
        db.settle().expect("settle");
        Self { dir, db, all, name }
    }

    fn restart(self, open: Open) -> Self {
        let Self { dir, db, all, .. } = self;
        drop((db, all));
        Self::at(dir, open)
    }

    fn prepare(&self, key: &str, parent: &str) -> Mounted {
        let mounts = self.all.prepare("ns", self.name, key, parent, Labels::new(), None).expect("prepare");
        Mounted::new(&self.dir.path().join("mnt"), &mounts)
    }

    fn commit(&self, name: &str, key: &str) {
        self.all.commit("ns", self.name, name, key, "", Labels::new(), None).expect("commit");
    }

    fn directories(&self) -> usize {
        fs::read_dir(self.dir.path().join("root/snapshots")).expect("list").count()
    }
}

/// Mounts at a place for as long as the value lives.
struct Mounted(PathBuf);

impl Mounted {
    fn new(place: &Path, mounts: &[proto::containerd::types::Mount]) -> Self {
        fs::create_dir_all(place).expect("mount point");
        for mount in mounts {
            let status = Command::new("mount")
                .args(["-t", if mount.r#type == "bind" { "none" } else { &mount.r#type }])
                .args(["-o", &mount.options.join(","), &mount.source])
                .arg(place)
                .status()
                .expect("run mount");
            assert!(status.success(), "mount {mount:?}");
        }
        Self(place.to_owned())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Runs the same claim on both.
macro_rules! on_each {
    ($($claim:ident)*) => {
        mod on_overlayfs { $(#[test] fn $claim() { super::$claim(super::overlayfs); })* }
        mod on_native { $(#[test] fn $claim() { super::$claim(super::native); })* }
    };
}

on_each! {
    a_child_sees_its_parents_files_and_changes_only_its_own
    names_and_kinds_are_kept_apart
    a_parent_stays_while_it_has_children
    a_failed_request_leaves_no_directory
    a_restart_sweeps_half_made_directories_and_keeps_the_rest
    a_damaged_database_is_rebuilt_with_live_snapshots
    usage_is_measured_stored_or_nothing
    labels_and_filters_work
}

fn a_child_sees_its_parents_files_and_changes_only_its_own(open: Open) {
    let bed = Bed::new(open);
    {
        let root = bed.prepare("k1", "");
        fs::write(root.path("a"), "one").expect("write");
        fs::write(root.path("gone"), "x").expect("write");
        fs::hard_link(root.path("a"), root.path("a2")).expect("link");
    }
    bed.commit("c1", "k1");
    {
        let root = bed.prepare("k2", "c1");
        assert_eq!(fs::read_to_string(root.path("a2")).expect("read"), "one");
        fs::write(root.path("b"), "two").expect("write");
        fs::remove_file(root.path("gone")).expect("remove");
    }
    bed.commit("c2", "k2");
    let mounts = bed.all.view("ns", bed.name, "v", "c2", Labels::new(), None).expect("view");
    let view = Mounted::new(&bed.dir.path().join("mnt"), &mounts);
    assert!(view.path("a").exists() && view.path("b").exists() && !view.path("gone").exists());
    assert!(fs::write(view.path("c"), "x").is_err(), "a view is read-only");
    drop(view);
    let mounts = bed.all.view("ns", bed.name, "v1", "c1", Labels::new(), None).expect("view");
    let view = Mounted::new(&bed.dir.path().join("mnt"), &mounts);
    assert!(view.path("gone").exists() && !view.path("b").exists());
}

fn names_and_kinds_are_kept_apart(open: Open) {
    let bed = Bed::new(open);
    let kind = |result: crate::error::Result<()>| result.expect_err("refused").kind();
    let prepare =
        |key: &str, parent: &str| bed.all.prepare("ns", bed.name, key, parent, Labels::new(), None).map(drop);
    let commit = |name: &str, key: &str| bed.all.commit("ns", bed.name, name, key, "", Labels::new(), None);
    prepare("k", "").expect("prepare");
    assert_eq!(kind(prepare("k", "")), Kind::AlreadyExists);
    let error = prepare("k2", "nope").expect_err("no parent");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::NotFound, "parent snapshot nope does not exist")
    );
    let error = prepare("k2", "k").expect_err("active parent");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert!(error.to_string().contains("not committed snapshot"), "{error}");
    commit("c", "k").expect("commit");
    assert_eq!(kind(commit("c", "no such key")), Kind::AlreadyExists);
    assert_eq!(kind(commit("c2", "k")), Kind::NotFound);
    assert_eq!(kind(bed.all.mounts("ns", bed.name, "c").map(drop)), Kind::FailedPrecondition);
    assert_eq!(kind(bed.all.stat("other", bed.name, "c").map(drop)), Kind::NotFound);
    let error = bed.all.stat("ns", "zzz", "c").expect_err("no such snapshotter");
    assert_eq!(error.to_string(), "snapshotter not loaded: zzz");
    let error = bed.all.stat("ns", "", "c").expect_err("no snapshotter");
    assert_eq!(error.to_string(), "snapshotter argument missing");
}

fn a_parent_stays_while_it_has_children(open: Open) {
    let bed = Bed::new(open);
    drop(bed.prepare("k", ""));
    bed.commit("c", "k");
    drop(bed.prepare("child", "c"));
    let error = bed.all.remove("ns", bed.name, "c").expect_err("has a child");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::FailedPrecondition, "cannot remove snapshot with child")
    );
    bed.all.remove("ns", bed.name, "child").expect("remove");
    bed.all.remove("ns", bed.name, "c").expect("remove");
    bed.all.cleanup();
    assert_eq!(bed.directories(), 0);
}

fn a_failed_request_leaves_no_directory(open: Open) {
    let bed = Bed::new(open);
    let error =
        bed.all.prepare("ns", bed.name, "k", "", Labels::new(), Some("gone")).expect_err("no such lease");
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NotFound, "lease does not exist"));
    assert_eq!(bed.directories(), 0);
    let long = Labels::from([("k".to_owned(), "v".repeat(5000))]);
    let error = bed.all.prepare("ns", bed.name, "k", "", long, None).expect_err("label too long");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert_eq!(bed.directories(), 0);
}

fn a_restart_sweeps_half_made_directories_and_keeps_the_rest(open: Open) {
    let bed = Bed::new(open);
    fs::write(bed.prepare("k", "").path("a"), "x").expect("write");
    drop(bed.prepare("removed", ""));
    bed.all.remove("ns", bed.name, "removed").expect("remove");
    // Killed: no clean-up ran, and a directory was made whose record wasn't.
    fs::create_dir(bed.dir.path().join("root/snapshots/77")).expect("half-made");
    let bed = bed.restart(open);
    assert_eq!(bed.directories(), 1);
    let mounts = bed.all.mounts("ns", bed.name, "k").expect("kept");
    let root = Mounted::new(&bed.dir.path().join("mnt"), &mounts);
    assert_eq!(fs::read_to_string(root.path("a")).expect("read"), "x");
}

fn a_damaged_database_is_rebuilt_with_live_snapshots(open: Open) {
    let bed = Bed::new(open);
    fs::write(bed.prepare("k", "").path("a"), "x").expect("write");
    bed.commit("c", "k");
    fs::write(bed.prepare("live", "c").path("b"), "y").expect("write");
    let Bed { dir, db, all, .. } = bed;
    drop((db, all));
    fs::write(dir.path().join("meta.db"), b"no database at all").expect("damage");
    let bed = Bed::at(dir, open);
    assert!(bed.db.set_aside().is_some());
    let info = bed.all.stat("ns", bed.name, "live").expect("found again");
    assert_eq!((info.kind(), info.parent.as_str()), (SnapshotKind::Active, "c"));
    assert_eq!(bed.all.stat("ns", bed.name, "c").expect("found again").kind(), SnapshotKind::Committed);
    let root =
        Mounted::new(&bed.dir.path().join("mnt"), &bed.all.mounts("ns", bed.name, "live").expect("mounts"));
    assert!(root.path("a").exists() && root.path("b").exists());
}

fn usage_is_measured_stored_or_nothing(open: Open) {
    let bed = Bed::new(open);
    {
        let root = bed.prepare("k", "");
        fs::write(root.path("a"), vec![1; 1 << 20]).expect("write");
        fs::hard_link(root.path("a"), root.path("b")).expect("link");
    }
    rustix::fs::sync();
    let active = bed.all.usage("ns", bed.name, "k").expect("usage");
    assert_eq!(active.inodes, 2, "the root and one file with two names");
    assert!((1 << 20..2 << 20).contains(&active.size), "{active:?}");
    bed.commit("c", "k");
    assert_eq!(bed.all.usage("ns", bed.name, "c").expect("usage"), active);
    bed.all.view("ns", bed.name, "v", "c", Labels::new(), None).expect("view");
    assert_eq!(bed.all.usage("ns", bed.name, "v").expect("usage"), Usage::default());
}

fn labels_and_filters_work(open: Open) {
    let bed = Bed::new(open);
    drop(bed.prepare("k", ""));
    bed.commit("c", "k");
    drop(bed.prepare("k", "c"));
    let new = Labels::from([("a.b/c".to_owned(), "1".to_owned())]);
    let path = crate::metadata::field_mask::Path::Entry("labels", "a.b/c");
    bed.all.update("ns", bed.name, "k", &new, &[path]).expect("update");
    let find = |filter: &str| {
        let filters = Filters::parse(&[filter]).expect("valid");
        bed.all.list("ns", bed.name, &filters).expect("list").into_iter().map(|i| i.key).collect::<Vec<_>>()
    };
    assert_eq!(find("kind==committed"), ["c"]);
    assert_eq!(find("parent==c"), ["k"]);
    assert_eq!(find("labels.\"a.b/c\"==1"), ["k"]);
    let path = crate::metadata::field_mask::Path::Field("parent");
    let error = bed.all.update("ns", bed.name, "k", &new, &[path]).expect_err("immutable");
    assert_eq!(error.kind(), Kind::InvalidArgument);
}

#[test]
fn layers_are_extracted_alone_and_named_once_whole() {
    let bed = Bed::new(overlayfs);
    let one = bed.all.extract("overlayfs").expect("extract").expect("overlay can");
    let two = bed.all.extract("overlayfs").expect("extract").expect("overlay can");
    fs::write(two.path().join("b"), "two").expect("write");
    fs::write(one.path().join("a"), "one").expect("write");
    let commit = |extraction, name: &str, parent: &str| {
        bed.all.commit_extraction("ns", extraction, name, parent, Labels::new(), None)
    };
    commit(one, "c1", "").expect("commit");
    commit(two, "c2", "c1").expect("commit");
    let late = bed.all.extract("overlayfs").expect("extract").expect("overlay can");
    assert_eq!(bed.directories(), 3);
    assert_eq!(commit(late, "c2", "c1").expect_err("lost the race").kind(), Kind::AlreadyExists);
    assert_eq!(bed.directories(), 2, "the loser's directory is gone, the winner's stays");
    let orphan = bed.all.extract("overlayfs").expect("extract").expect("overlay can");
    assert_eq!(commit(orphan, "c3", "nope").expect_err("no parent").kind(), Kind::NotFound);
    let root = bed.prepare("k", "c2");
    assert!(root.path("a").exists() && root.path("b").exists());
    drop(root);
    assert!(Bed::new(native).all.extract("native").expect("ask").is_none());
}

#[test]
fn overlay_mounts_have_containerds_shape() {
    let bed = Bed::new(overlayfs);
    let root = bed.dir.path().join("root/snapshots").display().to_string();
    let mounts = |key: &str| bed.all.mounts("ns", "overlayfs", key).expect("mounts").remove(0);
    drop(bed.prepare("k1", ""));
    let bind = mounts("k1");
    assert_eq!((bind.r#type.as_str(), bind.source), ("bind", format!("{root}/1/fs")));
    assert_eq!(bind.options, ["rw", "rbind"]);
    bed.commit("c1", "k1");
    bed.all.view("ns", "overlayfs", "v1", "c1", Labels::new(), None).expect("view");
    let view = mounts("v1");
    assert_eq!((view.source, view.options), (format!("{root}/1/fs"), vec!["ro".into(), "rbind".to_owned()]));
    drop(bed.prepare("k2", "c1"));
    let index = Path::new("/sys/module/overlay/parameters/index").exists().then(|| "index=off".to_owned());
    let expect = |rest: &[String]| index.iter().chain(rest).cloned().collect::<Vec<_>>();
    assert_eq!(
        mounts("k2").options,
        expect(&[
            format!("workdir={root}/3/work"),
            format!("upperdir={root}/3/fs"),
            format!("lowerdir={root}/1/fs")
        ])
    );
    bed.commit("c2", "k2");
    bed.all.view("ns", "overlayfs", "v2", "c2", Labels::new(), None).expect("view");
    assert_eq!(mounts("v2").options, expect(&[format!("lowerdir={root}/3/fs:{root}/1/fs")]));
}
