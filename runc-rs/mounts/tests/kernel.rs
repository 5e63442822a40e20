//! Against the running kernel, as root, each test in a mount namespace of its own that ends with its thread.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mounts::{Attributes, Mount, Options, detached, mount_all, table, unmount_all, unmount_below};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// A tmpfs that nobody else sees, on a directory that is removed.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let path = std::env::temp_dir().join(format!("mounts-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        mount(Some("t"), &path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        Self(path)
    }

    fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        unmount_below(&self.0).unwrap();
        fs::remove_dir(&self.0).unwrap();
    }
}

fn one(kind: &str, source: &Path, options: &[&str]) -> Mount {
    Mount {
        kind: kind.into(),
        source: source.to_str().unwrap().into(),
        target: String::new(),
        options: options.iter().map(|o| (*o).to_owned()).collect(),
    }
}

fn at(path: &Path) -> Vec<table::Entry> {
    table::read().unwrap().into_iter().filter(|e| e.target == path).collect()
}

#[test]
fn a_read_only_bind_refuses_writes() {
    let place = Place::new("bind");
    let (from, to) = (place.dir("from"), place.dir("to"));
    fs::write(from.join("f"), "x").unwrap();
    mount_all(&[one("bind", &from, &["rbind", "ro"])], &to).unwrap();
    assert_eq!(fs::read_to_string(to.join("f")).unwrap(), "x");
    assert_eq!(fs::write(to.join("g"), "y").unwrap_err().raw_os_error(), Some(libc::EROFS));
    unmount_all(&to).unwrap();
    unmount_all(&to).unwrap();
    assert!(at(&to).is_empty());
}

#[test]
fn a_list_that_fails_in_the_middle_leaves_nothing() {
    let place = Place::new("undo");
    let (from, to) = (place.dir("from"), place.dir("to"));
    let list = [one("bind", &from, &["bind"]), one("nosuchfs", &from, &[])];
    let error = mount_all(&list, &to).unwrap_err().to_string();
    assert!(error.contains("nosuchfs"), "{error}");
    assert!(at(&to).is_empty());
}

#[test]
fn an_overlay_with_options_longer_than_a_page_is_mounted() {
    let place = Place::new("long");
    let long = "a-directory-with-quite-a-long-name-as-snapshotters-have-them/snapshots";
    let layers: Vec<PathBuf> = (0..60).map(|n| place.dir(&format!("{long}/{n}/fs"))).collect();
    fs::write(layers[59].join("deepest"), "x").unwrap();
    let lower = layers.iter().map(|l| l.to_str().unwrap()).collect::<Vec<_>>().join(":");
    assert!(lower.len() > 4096);
    let (upper, work, to) = (place.dir("upper"), place.dir("work"), place.dir("to"));
    let options = [
        format!("workdir={}", work.display()),
        format!("upperdir={}", upper.display()),
        format!("lowerdir={lower}"),
    ];
    let before = std::env::current_dir().unwrap();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    mount_all(&[one("overlay", Path::new("overlay"), &options)], &to).unwrap();
    assert_eq!(fs::read_to_string(to.join("deepest")).unwrap(), "x");
    assert_eq!(std::env::current_dir().unwrap(), before);
    fs::write(to.join("new"), "y").unwrap();
    assert!(upper.join("new").exists());
}

#[test]
fn everything_below_a_path_is_unmounted_even_if_stacked_or_in_use() {
    let place = Place::new("below");
    let root = place.dir("root");
    for name in ["", "a", "a"] {
        let target = if name.is_empty() { root.clone() } else { root.join(name) };
        fs::create_dir_all(&target).unwrap();
        mount_all(&[one("tmpfs", Path::new("t"), &["mode=700", "nosuid"])], &target).unwrap();
    }
    assert!(at(&root)[0].options.contains("nosuid"));
    let in_use = File::create(root.join("a/open")).unwrap();
    unmount_below(&root).unwrap();
    assert!(table::at_and_below(&table::read().unwrap(), &root).is_empty());
    drop(in_use);
}

#[test]
fn a_detached_clone_is_made_read_only_with_all_below_before_it_appears() {
    let place = Place::new("detached");
    let (from, to) = (place.dir("from"), place.dir("to"));
    let below = place.dir("from/below");
    mount_all(&[one("tmpfs", Path::new("t"), &[])], &below).unwrap();
    let tree = detached::clone(rustix::fs::CWD, &from, true).unwrap();
    let options = Options::parse(&["rro", "rnosuid"]);
    detached::change(&tree, true, options.recursive).unwrap();
    assert!(at(&to).is_empty());
    detached::attach(&tree, File::open(&to).unwrap()).unwrap();
    assert_eq!(fs::write(to.join("below/x"), "").unwrap_err().raw_os_error(), Some(libc::EROFS));
    assert!(at(&to.join("below"))[0].options.contains("nosuid"));
    fs::write(below.join("x"), "").unwrap();
}

#[test]
fn a_new_file_system_takes_its_options_and_refuses_wrong_ones() {
    let place = Place::new("new");
    let to = place.dir("to");
    let tree = detached::new("tmpfs", "box", &["size=64k".into(), "mode=711".into()], Attributes::default())
        .unwrap();
    detached::attach(&tree, File::open(&to).unwrap()).unwrap();
    assert_eq!((at(&to)[0].source.as_str(), at(&to)[0].super_options.contains("size=64k")), ("box", true));
    let error =
        detached::new("tmpfs", "box", &["nosuch=1".into()], Attributes::default()).unwrap_err().to_string();
    assert!(error.contains("nosuch=1"), "{error}");
}

#[test]
fn propagation_is_set_on_the_mount() {
    let place = Place::new("shared");
    let (from, to) = (place.dir("from"), place.dir("to"));
    mount_all(&[one("bind", &from, &["bind", "shared"])], &to).unwrap();
    assert!(at(&to)[0].propagation[0].starts_with("shared:"));
}
