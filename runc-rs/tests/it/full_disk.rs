//! A state directory on a disk without room.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bundle::Bundle;

/// A tiny tmpfs, full to the last page; unmounted at drop.
struct FullDisk(PathBuf);

impl FullDisk {
    fn mount(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "full"]).arg(dir).status();
        assert!(mounted.unwrap().success());
        let disk = Self(dir.to_owned());
        let mut ballast = fs::File::create(disk.ballast()).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
        disk
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_state_that_cannot_be_written_is_told_and_leaves_nothing() {
    let bundle = Bundle::new("echo hi");
    let disk = FullDisk::mount(&bundle.state_dir());
    for args in [&["run", bundle.id()][..], &["create", bundle.id()]] {
        let answer = bundle.call(args);
        assert!(answer.code == 1 && answer.stderr.contains("no space left on device"), "{answer:?}");
    }
    fs::remove_file(disk.ballast()).unwrap();
    bundle.assert_nothing_left();
    assert_eq!(bundle.output(), "hi\n");
    bundle.assert_nothing_left();
}
