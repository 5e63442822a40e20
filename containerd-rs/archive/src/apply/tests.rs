//! Layers of every kind, honest and hostile. Needs root (owners, devices, overlay's attributes).

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::*;
use crate::header::Timestamp;
use crate::writer::Writer;

/// A directory with a root to apply into and files outside of it that must not change.
struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(dir.path().join("root")).expect("root");
        fs::write(dir.path().join("outside"), "untouched").expect("outside");
        fs::set_permissions(dir.path().join("outside"), fs::Permissions::from_mode(0o600)).expect("mode");
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn apply(&self, entries: &[(Entry, &[u8])], form: WhiteoutForm) -> Result<Applied> {
        apply(archive(entries).as_slice(), &self.root(), &ApplyOptions::new(form))
    }

    fn outside_is_untouched(&self) {
        let outside = self.dir.path().join("outside");
        assert_eq!(fs::read_to_string(&outside).expect("outside"), "untouched");
        let meta = fs::metadata(&outside).expect("outside");
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.nlink()), (0o600, 0, 1));
        let mut names: Vec<_> = fs::read_dir(self.dir.path())
            .expect("list")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["outside", "root"]);
    }
}

fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.append(&Entry { size: data.len() as u64, ..entry.clone() }, *data).expect("append");
    }
    writer.finish().expect("finish")
}

fn entry(kind: Kind, name: &str, link: &str) -> (Entry, &'static [u8]) {
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    (Entry { name: name.into(), link: link.into(), kind, mode, ..Entry::default() }, b"")
}

fn file(name: &str, data: &'static str) -> (Entry, &'static [u8]) {
    (entry(Kind::File, name, "").0, data.as_bytes())
}

#[test]
fn a_layer_keeps_owner_mode_time_kind_and_attributes() {
    let ground = Ground::new();
    let mut tool = file("usr/bin/tool", "x").0;
    tool.mode = 0o4755;
    (tool.uid, tool.gid) = (1234, 70_000);
    tool.mtime = Timestamp { seconds: 1_000_000_000, nanoseconds: 0 };
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    tool.xattrs = vec![
        (b"security.capability".to_vec(), capability.to_vec()),
        (b"trusted.overlay.redirect".to_vec(), b"/x".to_vec()),
    ];
    let mut tmp = entry(Kind::Directory, "tmp/", "").0;
    tmp.mode = 0o1777;
    tmp.mtime = Timestamp { seconds: 5, nanoseconds: 0 };
    let mut null = entry(Kind::CharDevice, "dev/null", "").0;
    null.device = (1, 3);
    ground
        .apply(
            &[
                (tool, b"x"),
                (tmp, b""),
                file("tmp/inside", "later than its directory"),
                (null, b""),
                entry(Kind::Fifo, "pipe", ""),
                entry(Kind::Symlink, "dangling", "/nowhere"),
                entry(Kind::HardLink, "again", "usr/bin/tool"),
            ],
            WhiteoutForm::Overlay,
        )
        .expect("apply");
    let root = ground.root();
    let tool = fs::metadata(root.join("usr/bin/tool")).expect("tool");
    assert_eq!(
        (tool.uid(), tool.gid(), tool.mode() & 0o7777, tool.mtime()),
        (1234, 70_000, 0o4755, 1_000_000_000)
    );
    assert_eq!(tool.ino(), fs::metadata(root.join("again")).expect("link").ino());
    let fd = fs::File::open(root.join("usr/bin/tool")).expect("open");
    let mut value = [0_u8; 64];
    assert_eq!(rustix::fs::fgetxattr(&fd, "security.capability", &mut value[..]), Ok(20));
    assert!(rustix::fs::fgetxattr(&fd, "trusted.overlay.redirect", &mut value[..]).is_err());
    let tmp = fs::metadata(root.join("tmp")).expect("tmp");
    assert_eq!((tmp.mode() & 0o7777, tmp.mtime()), (0o1777, 5));
    let null = fs::metadata(root.join("dev/null")).expect("null");
    assert!(null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3));
    assert!(fs::metadata(root.join("pipe")).expect("pipe").file_type().is_fifo());
    assert_eq!(fs::read_link(root.join("dangling")).expect("link"), PathBuf::from("/nowhere"));
}

#[test]
fn names_that_climb_stay_inside() {
    for name in ["../outside", "/outside", "a/../../outside", "../../../../outside"] {
        let ground = Ground::new();
        ground.apply(&[file(name, "evil")], WhiteoutForm::Overlay).expect("confined");
        assert_eq!(fs::read_to_string(ground.root().join("outside")).expect("inside"), "evil", "{name}");
        ground.outside_is_untouched();
    }
}

/// CVE-2021-32760 and its family: nothing reaches through a symlink.
#[test]
fn cve_2021_32760_no_entry_reaches_through_a_symlink() {
    let ground = Ground::new();
    let absolute = ground.dir.path().to_str().expect("utf-8").to_owned();
    for target in ["..", "../..", absolute.as_str(), "/proc/self/cwd", "/proc/self/root"] {
        for kind in [Kind::File, Kind::Directory, Kind::Symlink, Kind::Fifo] {
            let ground = Ground::new();
            let mut through = entry(kind, "out/outside", "x").0;
            through.mode = 0o777;
            through.uid = 99;
            // Refused or confined, both are fine: what counts is the outside.
            let _ =
                ground.apply(&[entry(Kind::Symlink, "out", target), (through, b"")], WhiteoutForm::Overlay);
            ground.outside_is_untouched();
        }
    }
    // The last component is never followed either.
    let mut onto = file("link", "evil").0;
    onto.mode = 0o777;
    ground
        .apply(
            &[entry(Kind::Symlink, "link", &format!("{absolute}/outside")), (onto, b"evil")],
            WhiteoutForm::Overlay,
        )
        .expect("replaces the link");
    assert!(fs::symlink_metadata(ground.root().join("link")).expect("file").is_file());
    ground.outside_is_untouched();
}

#[test]
fn hard_links_cannot_name_files_outside() {
    for target in ["../outside", "/../outside", "up/outside", "link"] {
        let ground = Ground::new();
        let outside = ground.dir.path().join("outside");
        let error = ground.apply(
            &[
                entry(Kind::Symlink, "up", ".."),
                entry(Kind::Symlink, "link", outside.to_str().expect("utf-8")),
                entry(Kind::HardLink, "hard", target),
                file("hard", "evil"),
            ],
            WhiteoutForm::Overlay,
        );
        // A hard link to the symlink itself is legal; the others name nothing inside the root.
        assert_eq!(error.is_ok(), target == "link", "{target}: {error:?}");
        ground.outside_is_untouched();
    }
}

#[test]
fn whiteouts_cannot_remove_outside() {
    for form in [WhiteoutForm::Overlay, WhiteoutForm::Removal] {
        for name in ["../.wh.outside", "up/.wh.outside", ".wh...", ".wh..", "up/.wh..wh..opq", ".wh.up"] {
            let ground = Ground::new();
            let _ = ground.apply(&[entry(Kind::Symlink, "up", ".."), file(name, "")], form);
            ground.outside_is_untouched();
        }
    }
}

#[test]
fn whiteouts_become_overlays_own() {
    let ground = Ground::new();
    ground
        .apply(
            &[
                file("dir/.wh.gone", ""),
                file("opaque/.wh..wh..opq", ""),
                file(".wh.again", ""),
                entry(Kind::Directory, "again", ""),
                file("dir/.wh..wh.plnk", ""),
            ],
            WhiteoutForm::Overlay,
        )
        .expect("apply");
    let gone = fs::symlink_metadata(ground.root().join("dir/gone")).expect("whiteout");
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for opaque in ["opaque", "again"] {
        let mut value = [0_u8; 8];
        let path = ground.root().join(opaque);
        assert_eq!(rustix::fs::lgetxattr(&path, whiteout::OVERLAY_OPAQUE, &mut value[..]), Ok(1), "{opaque}");
    }
    assert_eq!(fs::read_dir(ground.root().join("dir")).expect("list").count(), 1);
}

#[test]
fn whiteouts_remove_what_is_below_but_not_their_own_layer() {
    let ground = Ground::new();
    ground
        .apply(
            &[
                file("gone/deep/file", ""),
                file("opaque/old", ""),
                file("opaque/sub/old", ""),
                file("kept", "old"),
            ],
            WhiteoutForm::Removal,
        )
        .expect("below");
    let applied = ground
        .apply(
            &[
                file("opaque/new", ""),
                file("opaque/.wh..wh..opq", ""),
                file(".wh.gone", ""),
                file("kept", "new"),
                file(".wh.kept", ""),
                file(".wh.never", ""),
            ],
            WhiteoutForm::Removal,
        )
        .expect("above");
    assert_eq!(applied.entries, 6);
    let names = |path: &str| -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(ground.root().join(path))
            .expect("list")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(""), ["kept", "opaque"]);
    assert_eq!(names("opaque"), ["new"]);
    assert_eq!(fs::read_to_string(ground.root().join("kept")).expect("kept"), "new");
}

#[test]
fn kinds_replace_each_other_and_directories_merge() {
    let ground = Ground::new();
    ground
        .apply(
            &[
                file("a/b", "1"),
                file("a", "file over directory"),
                entry(Kind::Symlink, "s", "a"),
                entry(Kind::Directory, "s", ""),
                file("s/in", "2"),
                file("d/one", "3"),
                entry(Kind::Directory, "d", ""),
                file("d/two", "4"),
            ],
            WhiteoutForm::Overlay,
        )
        .expect("apply");
    assert_eq!(fs::read_to_string(ground.root().join("a")).expect("a"), "file over directory");
    assert!(fs::symlink_metadata(ground.root().join("s")).expect("s").is_dir());
    assert_eq!(fs::read_dir(ground.root().join("d")).expect("d").count(), 2);
}

#[test]
fn a_parent_behind_a_dangling_symlink_is_made_inside_and_reported() {
    let ground = Ground::new();
    let applied = ground
        .apply(&[entry(Kind::Symlink, "run", "/var/run"), file("run/x/pid", "1")], WhiteoutForm::Overlay)
        .expect("apply");
    assert_eq!(fs::read_to_string(ground.root().join("var/run/x/pid")).expect("pid"), "1");
    assert_eq!(applied.implied, [b"var".to_vec(), b"var/run".to_vec(), b"var/run/x".to_vec()]);
}

#[test]
fn symlink_loops_are_errors() {
    let ground = Ground::new();
    let error = ground
        .apply(
            &[entry(Kind::Symlink, "a", "b"), entry(Kind::Symlink, "b", "a"), file("a/x", "")],
            WhiteoutForm::Overlay,
        )
        .expect_err("loop");
    assert!(matches!(error, ArchiveError::Filesystem { .. }), "{error}");
}

#[test]
fn a_layer_cut_anywhere_is_an_error() {
    let whole = archive(&[file("a", "some data"), file("b", "more")]);
    let ends: Vec<usize> = vec![0, 512, 1024, 1536];
    for cut in (1..2048).step_by(37) {
        let ground = Ground::new();
        let result = apply(&whole[..cut], &ground.root(), &ApplyOptions::new(WhiteoutForm::Overlay));
        assert_eq!(result.is_ok(), ends.contains(&cut) && cut % 1024 == 0, "cut at {cut}: {result:?}");
    }
}

#[test]
fn bombs_stop_at_the_limits() {
    let many: Vec<_> = (0..20).map(|n| file(&format!("f{n}"), "")).collect();
    let big = [file("big", "0123456789")];
    let long = [file(&"x/".repeat(3000), "")];
    let cases: [(&[_], Limits, &str); 3] = [
        (&many, Limits { entries: 10, ..Limits::default() }, "entries"),
        (&big, Limits { size: 9, ..Limits::default() }, "bytes of files"),
        (&long, Limits::default(), "a name"),
    ];
    for (entries, limits, expected) in cases {
        let ground = Ground::new();
        let options = ApplyOptions { whiteouts: WhiteoutForm::Overlay, limits };
        let error = apply(archive(entries).as_slice(), &ground.root(), &options).expect_err(expected);
        assert!(matches!(error, ArchiveError::Limit { what, .. } if what == expected), "{error}");
    }
}
