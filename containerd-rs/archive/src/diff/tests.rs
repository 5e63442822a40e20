use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::apply::{ApplyOptions, apply};
use crate::limits::Limits;
use crate::reader::Reader;
use crate::whiteout::WhiteoutForm;

fn names(archive: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(archive, Limits::default());
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().expect("entry") {
        names.push(String::from_utf8(entry.name).expect("utf-8"));
    }
    names
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(status.success());
}

fn base() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let lower = dir.path().join("lower");
    fs::create_dir_all(lower.join("etc/sub")).expect("etc");
    fs::create_dir_all(lower.join("same")).expect("same");
    fs::write(lower.join("etc/hosts"), "old").expect("hosts");
    fs::write(lower.join("etc/gone"), "x").expect("gone");
    fs::write(lower.join("etc/sub/deep"), "x").expect("deep");
    fs::write(lower.join("same/file"), "x").expect("file");
    let upper = dir.path().join("upper");
    copy(&lower, &upper);
    (dir, lower, upper)
}

#[test]
fn changes_are_listed_in_order_with_their_directories() {
    let (_dir, lower, upper) = base();
    assert_eq!(
        names(&diff(Some(&lower), &upper, Vec::new(), &DiffOptions::default()).expect("diff")),
        [""; 0]
    );
    fs::write(upper.join("etc/hosts"), "new content").expect("hosts");
    fs::remove_file(upper.join("etc/gone")).expect("gone");
    fs::set_permissions(upper.join("etc/sub/deep"), fs::Permissions::from_mode(0o600)).expect("mode");
    fs::hard_link(upper.join("etc/hosts"), upper.join("etc/link")).expect("link");
    fs::create_dir(upper.join("new")).expect("new");
    symlink("/x", upper.join("new/symlink")).expect("symlink");
    let archive = diff(Some(&lower), &upper, Vec::new(), &DiffOptions::default()).expect("diff");
    let expected =
        ["etc/", "etc/.wh.gone", "etc/hosts", "etc/link", "etc/sub/", "etc/sub/deep", "new/", "new/symlink"];
    assert_eq!(names(&archive), expected);
    // Applied to the old tree it gives the new one.
    apply(archive.as_slice(), &lower, &ApplyOptions::new(WhiteoutForm::Removal)).expect("apply");
    let status =
        std::process::Command::new("diff").arg("-r").arg("--no-dereference").arg(&lower).arg(&upper).status();
    assert!(status.expect("diff").success());
}

#[test]
fn the_same_trees_give_the_same_bytes_at_a_fixed_time() {
    let (dir, lower, upper) = base();
    fs::remove_file(upper.join("etc/gone")).expect("gone");
    fs::write(upper.join("etc/new"), "n").expect("new");
    let options = DiffOptions { source_date_epoch: Some(1_000_000) };
    let first = diff(Some(&lower), &upper, Vec::new(), &options).expect("diff");
    let again = dir.path().join("again");
    copy(&upper, &again);
    fs::write(again.join("etc/new"), "n").expect("new");
    let second = diff(Some(&lower), &again, Vec::new(), &options).expect("diff");
    assert!(first == second);
    assert!(!names(&first).is_empty());
}
