//! Archives that climb out of their root: the host's files stay as they are, whichever way the
//! layer comes in.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use integration_tests::{CraftedImage, FakeRegistry, Stack, TarEntry, tar};

use crate::bad_images::forget_what_ctr_left;

/// What a victim's file says.
const PRECIOUS: &str = "precious\n";

/// Layers that would reach `victim` if a path were followed out of the root.
fn attacks(victim: &str) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let dots = format!("../../../../../../../../../../{victim}");
    let hidden = victim.replace("/file", "/.wh.file");
    let dir = Path::new(victim).parent().and_then(Path::to_str).expect("a folder").to_owned();
    let evil = TarEntry::file("x", b"evil\n");
    let file = |name: &str| tar(&[TarEntry { name, ..evil }]);
    let through = |link: &str, name: &str| tar(&[TarEntry::symlink("out", link), TarEntry { name, ..evil }]);
    vec![
        ("dots", vec![file(&dots)]),
        ("absolute", vec![file(victim)]),
        ("inner", vec![file(&format!("a/../../../../../../../../..{victim}"))]),
        ("symlink", vec![through(&dir, "out/file")]),
        ("symlinkfile", vec![through(victim, "out")]),
        ("symlinkdots", vec![through(&format!("../../../../../../../..{dir}"), "out/file")]),
        // The link lies in the layer below.
        ("lowersymlink", vec![tar(&[TarEntry::symlink("out", &dir)]), file("out/file")]),
        ("hardlink", vec![tar(&[TarEntry::hard_link("out", victim), TarEntry { name: "out", ..evil }])]),
        ("hardlinkdots", vec![tar(&[TarEntry::hard_link("out", &dots)])]),
        (
            "hardlinksymlink",
            vec![tar(&[
                TarEntry::symlink("s", &dir),
                TarEntry::hard_link("out", "s/file"),
                TarEntry { name: "out", ..evil },
            ])],
        ),
        ("whiteout", vec![file(&hidden)]),
        ("whiteoutdots", vec![file(&format!("../../../../../../../../../..{hidden}"))]),
        (
            "whiteoutlink",
            vec![tar(&[TarEntry::symlink("out", &dir), TarEntry { name: "out/.wh.file", ..evil }])],
        ),
        (
            "opaque",
            vec![tar(&[TarEntry::symlink("out", &dir), TarEntry { name: "out/.wh..wh..opq", ..evil }])],
        ),
        ("opaquelower", vec![tar(&[TarEntry::symlink("out", &dir)]), file("out/.wh..wh..opq")]),
        ("whiteoutparent", vec![file("a/.wh...")]),
        ("directory", vec![tar(&[TarEntry::symlink("out", &dir), TarEntry::directory("out/")])]),
    ]
}

#[test]
fn no_layer_reaches_a_file_of_the_host() {
    let stack = Stack::start();
    let registry = FakeRegistry::start(&stack.netns);
    // Short: names in a tar's header have 100 bytes.
    let victims = tempfile::Builder::new().prefix("v").tempdir_in("/var/tmp").expect("a folder");
    let victim = victims.path().join("file");
    std::fs::write(&victim, PRECIOUS).expect("write");
    let before = std::fs::metadata(&victim).expect("there");
    for (name, layers) in attacks(victim.to_str().expect("UTF-8")) {
        let image = CraftedImage::new(&layers);
        registry.serve(name, &image);
        let reference = registry.name(&format!("{name}:1"));
        // Refused or kept inside: both are right, as long as the host's file stays.
        stack.docker(&["pull", &reference]);
        let archive = stack.dir().join("attack.tar");
        image.write_archive(&archive, &format!("example.com/{name}:1"));
        for snapshotter in ["overlayfs", "native"] {
            stack.ctr(&["images", "import", "--snapshotter", snapshotter, archive.to_str().expect("UTF-8")]);
        }
        let after = std::fs::metadata(&victim).unwrap_or_else(|e| panic!("{name}: the file is gone: {e}"));
        assert_eq!(std::fs::read_to_string(&victim).expect("read"), PRECIOUS, "{name}");
        assert_eq!((after.nlink(), after.mode(), after.ino()), (1, before.mode(), before.ino()), "{name}");
        let names: Vec<_> = std::fs::read_dir(victims.path()).expect("list").flatten().collect();
        assert_eq!(names.len(), 1, "{name}: {names:?}");
    }
    for image in stack.docker(&["images", "-q"]).ok().lines() {
        stack.docker(&["rmi", "-f", image]);
    }
    forget_what_ctr_left(&stack);
    stack.assert_clean(&[]);
    stack.assert_no_image();
}

#[test]
fn an_archive_whose_files_climb_is_imported_nowhere() {
    let stack = Stack::without_engine();
    let victims = tempfile::Builder::new().prefix("v").tempdir_in("/var/tmp").expect("a folder");
    let victim = victims.path().join("file");
    let name = format!("../../../../../../../..{}", victim.display());
    let index = br#"{"schemaVersion":2,"manifests":[]}"#;
    let archive = stack.dir().join("attack.tar");
    let entries = [
        TarEntry::file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        TarEntry::file("index.json", index),
        TarEntry::file(&name, b"evil\n"),
        TarEntry::file("blobs/sha256/../../../../x", b"evil\n"),
    ];
    std::fs::write(&archive, tar(&entries)).expect("write");
    stack.ctr(&["images", "import", archive.to_str().expect("UTF-8")]);
    assert!(!victim.exists());
    for bytes in [&b""[..], b"no tar at all", &tar(&[TarEntry::file("index.json", b"{")])] {
        std::fs::write(&archive, bytes).expect("write");
        let output = stack.ctr(&["images", "import", archive.to_str().expect("UTF-8")]);
        assert_ne!(output.code, 0, "{} {}", output.stdout, output.stderr);
    }
    forget_what_ctr_left(&stack);
    stack.assert_clean(&[]);
    stack.assert_no_image();
}
