use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::*;
use crate::error::Kind;
use crate::events::Exchange;
use crate::metadata::Db;
use crate::metadata::filters::Filters;
use crate::metadata::labels::Labels;
use crate::metadata::leases::Resource;

fn open(dir: &Path) -> (Db, Store) {
    open_with(dir, Sharing::Shared)
}

fn open_with(dir: &Path, sharing: Sharing) -> (Db, Store) {
    let db = Db::open(&dir.join("meta.db"), Exchange::default()).expect("open metadata");
    let store = Store::open(&dir.join("content"), db.clone(), sharing).expect("open store");
    db.settle().expect("settle");
    (db, store)
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn put(store: &Store, ns: &str, bytes: &[u8]) -> String {
    let mut ingest = store.writer(ns, "put", "", 0, None).expect("open ingest");
    ingest.write(bytes).expect("write");
    ingest.commit(Finish::default(), Labels::new()).expect("commit").digest
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir).expect("list").count()
}

#[test]
fn a_committed_blob_is_readable_read_only_and_leaves_no_ingest() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (_db, store) = open(dir.path());
    let digest = put(&store, "ns", b"hello");
    assert_eq!(digest, digest_of(b"hello"));
    assert_eq!(store.read_all("ns", &digest, 100).expect("read"), b"hello");
    let mode = fs::metadata(store.blob_path(&digest).expect("path")).expect("stat").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o444);
    assert_eq!(files(&store.root().join("ingest")), 0);
    assert_eq!(store.info("other", &digest).expect_err("private").kind(), Kind::NotFound);
}

#[test]
fn an_interrupted_ingest_goes_on_where_it_stopped_after_a_restart() {
    let dir = tempfile::tempdir().expect("temp dir");
    {
        let (_db, store) = open(dir.path());
        let mut ingest = store.writer("ns", "r", &digest_of(b"hello world"), 11, None).expect("open");
        ingest.write(b"hello ").expect("write");
    }
    let (_db, store) = open(dir.path());
    let status = store.status("ns", "r").expect("kept");
    assert_eq!((status.offset, status.total), (6, 11));
    let mut ingest = store.writer("ns", "r", "", 0, None).expect("open again");
    assert_eq!((ingest.offset(), ingest.digest()), (6, digest_of(b"hello ")));
    ingest.write(b"world").expect("write");
    ingest.commit(Finish { size: 11, expected: "" }, Labels::new()).expect("the digest is right");
}

#[test]
fn a_wrong_digest_or_size_is_refused_and_the_ingest_stays() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (_db, store) = open(dir.path());
    let mut ingest = store.writer("ns", "r1", "", 0, None).expect("open");
    ingest.write(b"hello").expect("write");
    let error = ingest.commit(Finish { size: 99, expected: "" }, Labels::new()).expect_err("size");
    assert_eq!(error.kind(), Kind::FailedPrecondition);
    assert_eq!(error.to_string(), "\"r1\" failed size validation: 5 != 99");
    let other = digest_of(b"other");
    let error = ingest.commit(Finish { size: 5, expected: &other }, Labels::new()).expect_err("digest");
    assert_eq!(
        error.to_string(),
        format!("unexpected commit digest {}, expected {other}", digest_of(b"hello"))
    );
    drop(ingest);
    assert_eq!(store.status("ns", "r1").expect("kept").offset, 5);
    store.abort("ns", "r1").expect("abort");
    assert_eq!(store.status("ns", "r1").expect_err("gone").kind(), Kind::NotFound);
    assert_eq!(files(&store.root().join("ingest")), 0);
    assert_eq!(files(&store.root().join("blobs/sha256")), 0);
}

#[test]
fn a_second_writer_of_a_ref_is_turned_away_at_once_until_the_first_is_done() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (_db, store) = open(dir.path());
    let first = store.writer("ns", "r", "", 0, None).expect("open");
    let error = store.writer("ns", "r", "", 0, None).expect_err("locked");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().starts_with("ref ns/1/r locked for "), "{error}");
    assert_eq!(store.abort("ns", "r").expect_err("locked").kind(), Kind::Unavailable);
    store.writer("other", "r", "", 0, None).expect("refs are private to namespaces");
    drop(first);
    store.writer("ns", "r", "", 0, None).expect("free again");
}

#[test]
fn a_blob_of_another_namespace_is_had_without_sending_it_unless_isolated() {
    let dir = tempfile::tempdir().expect("temp dir");
    let digest = {
        let (_db, store) = open(dir.path());
        let digest = put(&store, "a", b"shared");
        let mut ingest = store.writer("b", "r", &digest, 0, None).expect("open");
        assert_eq!((ingest.offset(), ingest.digest()), (6, digest.clone()));
        ingest.commit(Finish::default(), Labels::new()).expect("commit");
        assert_eq!(store.read_all("b", &digest, 100).expect("read"), b"shared");
        let error = store.writer("b", "r2", &digest, 0, None).expect_err("there already");
        assert_eq!(error.kind(), Kind::AlreadyExists);
        digest
    };
    let (_db, store) = open_with(dir.path(), Sharing::Isolated);
    assert_eq!(store.writer("c", "r", &digest, 0, None).expect("open").offset(), 0);
}

#[test]
fn a_shared_blob_that_loses_its_name_before_the_commit_is_committed_all_the_same() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (_db, store) = open(dir.path());
    let digest = put(&store, "a", b"shared");
    let mut ingest = store.writer("b", "r", &digest, 0, None).expect("open");
    store.delete("a", &digest).expect("delete");
    fs::remove_file(store.blob_path(&digest).expect("path")).expect("what collecting garbage does");
    ingest.commit(Finish::default(), Labels::new()).expect("commit");
    assert_eq!(store.read_all("b", &digest, 100).expect("read"), b"shared");
    assert_eq!(files(&store.root().join("ingest")), 0);
}

#[test]
fn sending_bytes_for_a_shared_blob_anyway_never_touches_the_blob() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (_db, store) = open(dir.path());
    let digest = put(&store, "a", b"shared");
    let mut ingest = store.writer("b", "r", &digest, 0, None).expect("open");
    ingest.restart().expect("begin again");
    ingest.write(b"other!").expect("write");
    ingest.commit(Finish::default(), Labels::new()).expect_err("the expected digest differs");
    assert_eq!(store.read_all("a", &digest, 100).expect("read"), b"shared");
}

#[test]
fn a_commit_without_its_lease_fails_and_can_be_tried_again() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (db, store) = open(dir.path());
    let error = store.writer("ns", "r", "", 0, Some("none")).expect_err("no lease");
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NotFound, "lease does not exist"));
    db.leases().create("ns", "l", Labels::new()).expect("lease");
    let mut ingest = store.writer("ns", "r", "", 0, Some("l")).expect("open");
    ingest.write(b"x").expect("write");
    assert_eq!(db.leases().resources("ns", "l").expect("held"), [Resource::ingest("r")]);
    db.leases().delete("ns", "l").expect("delete lease");
    assert_eq!(
        ingest.commit(Finish::default(), Labels::new()).expect_err("lease gone").kind(),
        Kind::NotFound
    );
    assert_eq!(files(&store.root().join("blobs/sha256")), 0);
    drop(ingest);
    db.leases().create("ns", "l", Labels::new()).expect("lease");
    let mut ingest = store.writer("ns", "r", "", 0, Some("l")).expect("open again");
    assert_eq!(ingest.offset(), 1);
    let digest = ingest.commit(Finish::default(), Labels::new()).expect("commit").digest;
    assert_eq!(db.leases().resources("ns", "l").expect("held"), [Resource::content(&digest)]);
}

#[test]
fn what_a_killed_daemon_left_half_made_is_swept_at_start_and_nothing_else() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (kept, stray) = {
        let (_db, store) = open(dir.path());
        let kept = put(&store, "ns", b"kept");
        let mut going = store.writer("ns", "going", "", 0, None).expect("open");
        going.write(b"half").expect("write");
        // Killed between naming the file and recording it.
        let stray = store.blob_path(&digest_of(b"stray")).expect("path");
        fs::write(&stray, b"stray").expect("write");
        fs::create_dir(store.root().join("ingest/0123")).expect("stray ingest");
        (kept, stray)
    };
    let (_db, store) = open(dir.path());
    assert!(!stray.exists());
    assert_eq!(files(&store.root().join("ingest")), 1);
    assert_eq!(store.read_all("ns", &kept, 100).expect("read"), b"kept");
    assert_eq!(store.status("ns", "going").expect("kept").offset, 4);
}

#[test]
fn after_a_damaged_database_whole_blobs_are_found_again_and_damaged_ones_go() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (whole, broken) = {
        let (_db, store) = open(dir.path());
        let (whole, broken) = (put(&store, "ns", b"whole"), put(&store, "ns", b"broken"));
        let path = store.blob_path(&broken).expect("path");
        fs::remove_file(&path).expect("remove");
        fs::write(&path, b"b").expect("damage");
        (whole, broken)
    };
    fs::write(dir.path().join("meta.db"), vec![0x5a; 100_000]).expect("damage the database");
    let (db, store) = open(dir.path());
    let aside = db.set_aside().expect("set aside");
    assert_eq!(fs::metadata(aside).expect("kept").len(), 100_000);
    assert_eq!(store.read_all("default", &whole, 100).expect("found again"), b"whole");
    assert!(!store.blob_path(&broken).expect("path").exists());
    assert_eq!(store.list("default", &Filters::default()).expect("list").len(), 1);
}

#[test]
fn digests_of_other_forms_are_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (_db, store) = open(dir.path());
    let upper = format!("sha256:{}", "A".repeat(64));
    for bad in ["", "x", "sha256:ab", "sha256:../../etc/passwd", "md5:00", &upper] {
        assert_eq!(store.info("ns", bad).expect_err("refused").kind(), Kind::InvalidArgument, "{bad}");
    }
}

/// A small filesystem of its own, for as long as the value lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(options: &str) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .status()
            .expect("run mount");
        assert!(mounted.success(), "mounting a tmpfs needs root");
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_an_error_that_says_so_and_the_ingest_goes_on_when_there_is_room() {
    let disk = SmallDisk::new("size=8m");
    let dir = disk.0.path();
    let (_db, store) = open(dir);
    let mut ingest = store.writer("ns", "big", "", 0, None).expect("open");
    let chunk = vec![7; 300_000];
    let mut written = 0_u64;
    let error = loop {
        match ingest.write(&chunk) {
            Ok(()) => written += chunk.len() as u64,
            Err(error) => break error,
        }
    };
    let status = tonic::Status::from(error);
    assert!(status.message().contains("no space left on device"), "{status:?}");
    assert_eq!(ingest.offset(), written);
    drop(ingest);
    let status = store.status("ns", "big").expect("kept");
    assert_eq!(status.offset, written, "no half chunk is left");
    let mut ingest = store.writer("ns", "big", "", 0, None).expect("open again");
    assert_eq!(ingest.digest(), digest_of(&vec![7; written as usize]));
    ingest.restart().expect("make room");
    ingest.write(&chunk).expect("there is room again");
    ingest.commit(Finish::default(), Labels::new()).expect("commit");
}

#[test]
fn the_metadata_survives_a_full_disk_and_works_on_once_there_is_room() {
    let disk = SmallDisk::new("size=8m");
    let dir = disk.0.path();
    let (db, _store) = open(dir);
    db.leases().create("ns", "before", Labels::new()).expect("there is room");
    let filler = dir.join("filler");
    let mut file = fs::File::create(&filler).expect("create");
    let _ = std::io::copy(&mut std::io::repeat(1), &mut file).expect_err("fills the disk");
    drop(file);
    let labels = Labels::from([("x".to_owned(), "y".repeat(4000))]);
    let refused = (0..5000).find_map(|n| db.leases().create("ns", &format!("l{n}"), labels.clone()).err());
    let status = tonic::Status::from(refused.expect("the file can't grow"));
    assert!(status.message().contains("no space left on device"), "{status:?}");
    assert!(db.leases().get("ns", "before").is_ok(), "reading goes on");
    fs::remove_file(&filler).expect("make room");
    db.leases().create("ns", "after", Labels::new()).expect("writing goes on");
    assert!(db.leases().get("ns", "before").is_ok());
}
