use std::sync::Arc;

use archive::WhiteoutForm;

use super::*;
use crate::content::Sharing;
use crate::events::Exchange;
use crate::metadata::Db;
use crate::metadata::filters::Filters;
use crate::snapshots::{Native, Overlayfs, Snapshots};
use crate::unpack::{apply_layer, target_of};

fn base() -> Vec<u8> {
    let mut tar = archive::Writer::new(Vec::new());
    for (name, data) in [("kept", "kept"), ("gone", "gone"), ("changed", "old")] {
        tar.append_bytes(name, data.as_bytes()).expect("append");
    }
    tar.finish().expect("finish")
}

#[test]
fn a_layer_made_of_a_snapshot_holds_the_changes_in_every_packing() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let db = Db::open(&dir.path().join("meta.db"), Exchange::default()).expect("database");
    let store = Store::open(&dir.path().join("content"), db.clone(), Sharing::Shared).expect("store");
    let overlayfs = Overlayfs::open(&dir.path().join("overlayfs")).expect("overlayfs");
    let native = Native::open(&dir.path().join("native")).expect("native");
    let snapshots = Snapshots::open(db, vec![Arc::new(overlayfs), Arc::new(native)]).expect("snapshots");
    for snapshotter in ["overlayfs", "native"] {
        let prepare = |key: &str, parent: &str| {
            snapshots.prepare("n", snapshotter, key, parent, Labels::new(), None).expect("prepare")
        };
        let (root, form) = target_of(&prepare("a", "")).expect("target");
        apply_layer(base().as_slice(), &root, form).expect("apply");
        snapshots.commit("n", snapshotter, "base", "a", "", Labels::new(), None).expect("commit");
        let left = snapshots.view("n", snapshotter, "left", "base", Labels::new(), None).expect("view");
        let right = prepare("right", "base");
        let mut changes = archive::Writer::new(Vec::new());
        for (name, data) in [("changed", "new"), ("added", "added"), (".wh.gone", "")] {
            changes.append_bytes(name, data.as_bytes()).expect("append");
        }
        let (root, form) = target_of(&right).expect("target");
        apply_layer(changes.finish().expect("finish").as_slice(), &root, form).expect("apply");
        for media_type in [media_type::LAYER, "", media_type::LAYER_ZSTD] {
            let make = MakeLayer {
                left: left.clone(),
                right: right.clone(),
                media_type: media_type.to_owned(),
                source_date_epoch: Some(1),
                ..MakeLayer::default()
            };
            let made = make_layer(&store, "n", None, make).expect("make");
            let (info, blob) = store.reader("n", made.digest.as_str()).expect("blob");
            let out = tempfile::tempdir().expect("temporary directory");
            std::fs::write(out.path().join("gone"), "from below").expect("below");
            let applied = apply_layer(blob, out.path(), WhiteoutForm::Removal).expect("apply");
            assert_eq!(info.labels[UNCOMPRESSED], applied.diff_id, "{snapshotter} {media_type}");
            let mut names: Vec<_> = std::fs::read_dir(out.path())
                .expect("list")
                .map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8"))
                .collect();
            names.sort();
            assert_eq!(names, ["added", "changed"], "{snapshotter} {media_type}");
        }
    }
    let refused = MakeLayer { media_type: "x/y".to_owned(), ..MakeLayer::default() };
    let error = make_layer(&store, "n", None, refused).expect_err("unknown type");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::Unimplemented, "unsupported diff media type: x/y")
    );
    make_layer(&store, "n", None, MakeLayer::default()).expect_err("nothing on the right");
    assert!(store.statuses("n", &Filters::default()).expect("ingests").is_empty());
}
