use super::*;
use crate::error::Kind;
use crate::events::Exchange;
use crate::metadata::labels::Labels;

#[test]
fn an_unknown_version_is_refused_and_the_file_left_alone() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("meta.db");
    {
        let db = redb::Database::create(&path).expect("create");
        let txn = db.begin_write().expect("write");
        txn.open_table(tables::META).expect("table").insert("version", 99).expect("insert");
        txn.commit().expect("commit");
    }
    let error = Db::open(&path, Exchange::default()).expect_err("refused");
    assert_eq!(error.kind(), Kind::FailedPrecondition);
    assert!(error.to_string().contains("version 99"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 1);
}

#[test]
fn a_second_daemon_on_the_same_file_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("meta.db");
    let _first = Db::open(&path, Exchange::default()).expect("open");
    let error = Db::open(&path, Exchange::default()).expect_err("in use");
    assert!(error.to_string().contains("another daemon"), "{error}");
}

#[test]
fn readers_see_their_snapshot_while_others_write_and_a_failed_request_leaves_no_trace() {
    let dir = tempfile::tempdir().expect("temp dir");
    let db = Db::open(&dir.path().join("meta.db"), Exchange::default()).expect("open");
    let before = db.read().expect("read");
    db.leases().create("ns", "l", Labels::new()).expect("create");
    assert!(namespace_names(&before).expect("read").is_empty());
    let failed = db.write(|txn| {
        ensure_namespace(txn, "half")?;
        Err::<(), _>(crate::error::Error::invalid("stop"))
    });
    assert!(failed.is_err());
    assert_eq!(namespace_names(&db.read().expect("read")).expect("read"), ["ns"]);
}

#[test]
fn a_truncated_or_scribbled_file_is_set_aside_and_the_daemon_starts() {
    for damage in [0_usize, 1, 2] {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("meta.db");
        {
            let db = Db::open(&path, Exchange::default()).expect("open");
            for n in 0..50 {
                db.leases().create("ns", &format!("l{n}"), Labels::new()).expect("create");
            }
        }
        let mut bytes = std::fs::read(&path).expect("read");
        match damage {
            0 => bytes.truncate(100),
            1 => bytes[..4096].fill(0xff),
            _ => bytes[4096..].fill(0),
        }
        std::fs::write(&path, bytes).expect("damage");
        let db = Db::open(&path, Exchange::default()).expect("starts");
        assert!(db.set_aside().is_some(), "damage {damage} was seen");
        db.leases().create("ns", "new", Labels::new()).expect("works");
    }
}
