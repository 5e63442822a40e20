//! The mounts of the spec: kinds, flags, propagation, masks.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::bundle::Bundle;

/// A line of the container's mountinfo.
struct Mount {
    options: Vec<String>,
    /// `shared:N`, `master:N`, …
    propagation: Vec<String>,
    fstype: String,
    /// The file system's own options.
    data: String,
}

fn mounts(text: &str) -> impl Fn(&str) -> Mount {
    let lines: Vec<Vec<String>> = text.lines().map(|l| l.split(' ').map(str::to_owned).collect()).collect();
    move |place| {
        let found = lines.iter().rev().find(|l| l.get(4).is_some_and(|p| p == place));
        let line = found.unwrap_or_else(|| panic!("{place} is not mounted: {lines:?}"));
        let dash = line.iter().position(|field| field == "-").unwrap();
        Mount {
            options: line[5].split(',').map(str::to_owned).collect(),
            propagation: line[6..dash].to_vec(),
            fstype: line[dash + 1].clone(),
            data: line[dash + 3].clone(),
        }
    }
}

/// A directory of the host that is a shared mount of its own.
struct Shared(PathBuf);

impl Shared {
    fn new(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        mount(&["--bind", path.to_str().unwrap(), path.to_str().unwrap()]);
        mount(&["--make-shared", path.to_str().unwrap()]);
        Self(path)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-R", "-l"]).arg(&self.0).status();
    }
}

fn mount(args: &[&str]) {
    let status = Command::new("mount").args(args).status().unwrap();
    assert!(status.success(), "mount {args:?}: {status}");
}

#[test]
fn every_kind_of_mount_is_what_it_says() {
    let mut bundle = Bundle::new("cat /proc/self/mountinfo; cat /merged/low /merged/up");
    for dir in ["low", "up", "work"] {
        fs::create_dir(bundle.dir.join(dir)).unwrap();
        fs::write(bundle.dir.join(dir).join(dir), dir).unwrap();
    }
    fs::remove_file(bundle.dir.join("work/work")).unwrap();
    let layers = ["lower=low", "upper=up", "work=work"].map(|pair| {
        let (key, dir) = pair.split_once('=').unwrap();
        format!("{key}dir={}", bundle.dir.join(dir).display())
    });
    for (place, kind, source, options) in [
        ("/sys", "sysfs", "sysfs", json!(["ro"])),
        ("/dev/mqueue", "mqueue", "mqueue", json!(["nosuid"])),
        ("/dev/shm", "tmpfs", "shm", json!(["size=65536k", "mode=1777"])),
        ("/ram", "ramfs", "ram", json!(["mode=700"])),
        ("/merged", "overlay", "overlay", json!(layers)),
    ] {
        bundle.mount(json!({"destination": place, "type": kind, "source": source, "options": options}));
    }
    let text = bundle.output();
    assert!(text.ends_with("lowup"), "{text}");
    let at = mounts(&text);
    for (place, kind) in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/sys", "sysfs"),
        ("/dev/mqueue", "mqueue"),
        ("/dev/shm", "tmpfs"),
        ("/ram", "ramfs"),
        ("/merged", "overlay"),
    ] {
        assert_eq!(at(place).fstype, kind, "{place}");
    }
    assert!(at("/dev/shm").data.contains("size=65536k"), "{}", at("/dev/shm").data);
    assert!(at("/dev/pts").data.contains("ptmxmode=666"), "{}", at("/dev/pts").data);
}

#[test]
fn flags_of_a_mount_are_set_and_the_later_of_two_wins() {
    let mut bundle = Bundle::new("cat /proc/self/mountinfo");
    let source = bundle.dir.join("source");
    fs::create_dir(&source).unwrap();
    let all = json!(["bind", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"]);
    let undone = json!(["bind", "ro", "nosuid", "noexec", "nodev", "rw", "suid", "exec", "dev"]);
    for (place, options) in [("/all", all), ("/undone", undone), ("/strict", json!(["bind", "strictatime"]))]
    {
        bundle.mount(json!({"destination": place, "type": "bind", "source": source, "options": options}));
    }
    bundle.mount(json!({"destination": "/tmpfs", "type": "tmpfs", "source": "tmpfs",
        "options": ["ro", "nosuid", "nodev", "noexec", "relatime"]}));
    let text = bundle.output();
    let at = mounts(&text);
    for flag in ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"] {
        assert!(at("/all").options.iter().any(|o| o == flag), "/all lacks {flag}: {:?}", at("/all").options);
    }
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(!at("/undone").options.iter().any(|o| o == flag), "/undone: {:?}", at("/undone").options);
        assert!(at("/tmpfs").options.iter().any(|o| o == flag), "/tmpfs: {:?}", at("/tmpfs").options);
    }
    assert!(!at("/strict").options.iter().any(|o| o.ends_with("atime")), "{:?}", at("/strict").options);
}

#[test]
fn a_recursive_bind_brings_what_is_mounted_below_and_a_plain_one_does_not() {
    let mut bundle = Bundle::new("cat /rec/sub/file; ls /plain/sub | wc -l");
    let shared = Shared::new(bundle.dir.join("source"));
    fs::create_dir(shared.0.join("sub")).unwrap();
    mount(&["-t", "tmpfs", "tmpfs", shared.0.join("sub").to_str().unwrap()]);
    fs::write(shared.0.join("sub/file"), "below\n").unwrap();
    for (place, option) in [("/rec", "rbind"), ("/plain", "bind")] {
        bundle.mount(json!({"destination": place, "type": "bind", "source": shared.0, "options": [option]}));
    }
    assert_eq!(bundle.output(), "below\n0\n");
}

#[test]
fn a_later_mount_of_the_host_arrives_in_a_slave_and_not_in_a_private_one() {
    let mut bundle = Bundle::new("sleep 1000");
    let shared = Shared::new(bundle.dir.join("source"));
    fs::create_dir(shared.0.join("sub")).unwrap();
    for (place, option) in [("/slave", "rslave"), ("/private", "rprivate")] {
        let options = json!(["rbind", option]);
        bundle.mount(json!({"destination": place, "type": "bind", "source": shared.0, "options": options}));
    }
    bundle.start_detached();
    mount(&["-t", "tmpfs", "tmpfs", shared.0.join("sub").to_str().unwrap()]);
    fs::write(shared.0.join("sub/file"), "later\n").unwrap();
    let answer = bundle.exec(&[bundle.id(), "sh", "-c", "cat /slave/sub/file; ls /private/sub | wc -l"]);
    assert_eq!(answer.stdout, "later\n0\n", "{answer:?}");
}

#[test]
fn a_mount_made_in_a_shared_one_reaches_the_host() {
    let mut bundle = Bundle::new("mount -t tmpfs tmpfs /shared/sub && echo inside > /shared/sub/file");
    let shared = Shared::new(bundle.dir.join("source"));
    fs::create_dir(shared.0.join("sub")).unwrap();
    bundle.mount(json!({"destination": "/shared", "type": "bind", "source": shared.0,
        "options": ["rbind", "rshared"]}));
    bundle.spec["linux"]["rootfsPropagation"] = json!("rshared");
    for set in ["bounding", "effective", "permitted"] {
        bundle.push(&format!("/process/capabilities/{set}"), json!("CAP_SYS_ADMIN"));
    }
    bundle.output();
    assert_eq!(fs::read_to_string(shared.0.join("sub/file")).unwrap(), "inside\n");
}

#[test]
fn tmpcopyup_fills_a_tmpfs_with_what_it_covers() {
    let mut bundle =
        Bundle::new("cat /data/dir/file; touch /data/new; stat -c %a /data/dir; readlink /data/link");
    let data = bundle.rootfs().join("data");
    fs::create_dir_all(data.join("dir")).unwrap();
    fs::write(data.join("dir/file"), "of the image\n").unwrap();
    std::os::unix::fs::symlink("dir/file", data.join("link")).unwrap();
    bundle
        .mount(json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
    assert_eq!(bundle.output(), "of the image\n755\ndir/file\n");
    assert!(!data.join("new").exists());
}

#[test]
fn masks_hide_files_and_directories_and_forgive_what_is_missing() {
    let script = "cat /secret; ls /dir | wc -l; { echo x > /secret; } 2>/dev/null; cat /secret; \
                  touch /dir/new 2>/dev/null || echo refused";
    let mut bundle = Bundle::new(script);
    fs::write(bundle.rootfs().join("secret"), "secret\n").unwrap();
    fs::create_dir(bundle.rootfs().join("dir")).unwrap();
    fs::write(bundle.rootfs().join("dir/inner"), "secret\n").unwrap();
    bundle.spec["linux"]["maskedPaths"] = json!(["/secret", "/dir", "/nosuch", "/no/such"]);
    assert_eq!(bundle.output(), "0\nrefused\n");
    assert_eq!(fs::read_to_string(bundle.rootfs().join("secret")).unwrap(), "secret\n");
}

#[test]
fn readonly_paths_refuse_writes_at_any_depth_and_forgive_what_is_missing() {
    let script = "for f in /dir/file /file /proc/sys/vm/overcommit_memory; do \
                  { echo x > $f; } 2>/dev/null && echo written; done; cat /dir/file /file";
    let mut bundle = Bundle::new(script);
    fs::create_dir(bundle.rootfs().join("dir")).unwrap();
    for file in ["dir/file", "file"] {
        fs::write(bundle.rootfs().join(file), "kept\n").unwrap();
    }
    bundle.spec["linux"]["readonlyPaths"] = json!(["/dir", "/file", "/proc/sys", "/nosuch"]);
    assert_eq!(bundle.output(), "kept\nkept\n");
}

#[test]
fn mount_points_are_made_and_stay_in_the_image_only() {
    let mut bundle = Bundle::new("cat /made/for/a/file; ls -d /made/for/a/dir");
    let file = bundle.dir.join("file");
    fs::write(&file, "content\n").unwrap();
    bundle.mount(
        json!({"destination": "/made/for/a/file", "type": "bind", "source": file, "options": ["bind"]}),
    );
    bundle.mount(json!({"destination": "/made/for/a/dir", "type": "tmpfs", "source": "tmpfs"}));
    assert_eq!(bundle.output(), "content\n/made/for/a/dir\n");
    assert!(bundle.rootfs().join("made/for/a/dir").is_dir());
    assert_eq!(fs::metadata(bundle.rootfs().join("made/for/a/file")).unwrap().len(), 0);
}

#[test]
fn a_relative_bind_source_is_below_the_bundle() {
    let mut bundle = Bundle::new("cat /x");
    fs::write(bundle.dir.join("beside"), "bundle\n").unwrap();
    bundle.mount(json!({"destination": "/x", "type": "bind", "source": "beside", "options": ["bind"]}));
    assert_eq!(bundle.output(), "bundle\n");
}

#[test]
fn mounts_end_with_the_container() {
    let bundle = Bundle::running();
    let name = bundle.dir.file_name().unwrap().to_str().unwrap().to_owned();
    let mounted = || fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&name);
    assert!(!mounted());
    bundle.call(&["delete", "-f", bundle.id()]);
    assert!(!mounted());
}

/// runc 1.1 knows no recursive attributes, and leaves the root private whatever is asked for.
mod ours_alone {
    use std::fs;
    use std::process::Command;

    use serde_json::{Value, json};

    use super::{Shared, mount, mounts};
    use crate::bundle::Bundle;

    #[test]
    fn rro_makes_what_is_mounted_below_readonly_too() {
        let script = "for d in ro rro; do touch /$d/sub/x 2>/dev/null && echo $d written; done; :";
        let mut bundle = Bundle::new(script);
        let shared = Shared::new(bundle.dir.join("source"));
        fs::create_dir(shared.0.join("sub")).unwrap();
        mount(&["-t", "tmpfs", "tmpfs", shared.0.join("sub").to_str().unwrap()]);
        for option in ["ro", "rro"] {
            bundle.mount(json!({"destination": format!("/{option}"), "type": "bind", "source": shared.0,
                "options": ["rbind", option]}));
        }
        assert_eq!(bundle.output(), "ro written\n");
    }

    #[test]
    fn the_root_has_the_propagation_that_is_asked_for() {
        let is = |wanted: Option<&str>| {
            let mut bundle = Bundle::new("cat /proc/self/mountinfo");
            // The rootfs' own mount must be one that propagates, else there is nothing to be a slave of.
            let shared = Shared::new(bundle.dir.join("propagating"));
            let status = Command::new("cp").arg("-a").arg(bundle.rootfs()).arg(&shared.0).status().unwrap();
            assert!(status.success());
            bundle.spec["root"]["path"] = json!("propagating/rootfs");
            bundle.spec["linux"]["rootfsPropagation"] = wanted.map_or(Value::Null, |w| json!(w));
            mounts(&bundle.output())("/").propagation
        };
        let has = |fields: &[String], kind: &str| fields.iter().any(|f| f.starts_with(kind));
        assert!(!has(&is(Some("private")), "shared") && !has(&is(Some("rprivate")), "master"));
        assert!(has(&is(Some("shared")), "shared"));
        assert!(!has(&is(Some("slave")), "shared"));
        assert!(!has(&is(None), "shared"));
    }
}
