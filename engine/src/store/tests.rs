use std::path::Path;

use super::*;

fn records(store: &Store) -> Vec<(String, Vec<i32>)> {
    store.all("containers").expect("all")
}

/// A store with one record, one that was deleted, and none open.
fn filled(path: &Path) {
    let store = Store::open(path).expect("open");
    store.put("containers", "a", &vec![1, 2]).expect("put");
    store.put("containers", "b", &vec![3]).expect("put");
    store.delete("containers", "b").expect("delete");
    assert_eq!(store.get::<Vec<i32>>("containers", "b").expect("get"), None);
}

#[test]
fn records_come_back() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("engine.redb");
    filled(&path);
    assert_eq!(records(&Store::open(&path).expect("open again")), [("a".to_owned(), vec![1, 2])]);
}

#[test]
fn a_damaged_database_is_set_aside_and_its_records_come_back_from_their_copies() {
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(100),
        |bytes| bytes.truncate(5000),
        |bytes| bytes[..4096].fill(0xff),
        |bytes| bytes[4096..].fill(0),
        |bytes| bytes[4096..].fill(0x5a),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("engine.redb");
        filled(&path);
        let mut bytes = std::fs::read(&path).expect("read");
        damage(&mut bytes);
        std::fs::write(&path, bytes).expect("damage");
        let store = Store::open(&path).expect("open damaged");
        assert_eq!(records(&store), [("a".to_owned(), vec![1, 2])], "damage {number}");
        let names: Vec<_> = std::fs::read_dir(dir.path()).expect("list").flatten().collect();
        assert!(
            names.iter().any(|name| name.file_name().to_string_lossy().contains("damaged")),
            "damage {number}"
        );
    }
}

#[test]
fn a_database_that_is_missing_is_made_anew_from_the_copies() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("engine.redb");
    filled(&path);
    std::fs::remove_file(&path).expect("lose it");
    assert_eq!(records(&Store::open(&path).expect("open")), [("a".to_owned(), vec![1, 2])]);
}

#[test]
fn a_record_that_is_no_json_is_taken_from_its_copy() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("engine.redb");
    filled(&path);
    let store = Store::open(&path).expect("open");
    store.db.with(|db| write(db, Table::new("containers"), "a", Some(b"[1,"))).expect("damage");
    drop(store);
    assert_eq!(records(&Store::open(&path).expect("open again")), [("a".to_owned(), vec![1, 2])]);
}

#[test]
fn an_unknown_version_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("engine.redb");
    let store = Store::open(&path).expect("open");
    store.db.with(|db| write(db, open::META, "version", Some(b"9"))).expect("write");
    drop(store);
    assert!(Store::open(&path).expect_err("version 9").to_string().contains("version 9"));
}
