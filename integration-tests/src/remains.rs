//! What a stack still holds when nothing but its images should be there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Census, Stack, wait};

/// Namespaces of containerd that tests use.
const NAMESPACES: [&str; 2] = ["default", "engine"];

impl Stack {
    /// Everything that belongs to a container or to unfinished work: records, snapshots, bundles,
    /// temporary files, mounts, cgroups, shims and their sockets, network namespaces, interfaces. Not
    /// ingests: a download that broke off is there to be gone on with, for a day ([`Stack::ingests`]).
    /// Daemons must run; `ids` are containers made with `ctr`.
    pub fn remains(&self, ids: &[&str]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for ns in NAMESPACES {
            self.records(ns, &mut found);
        }
        self.files(&mut found);
        let mut ids: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        ids.extend(words_of_64_hex(&self.logs()));
        found.extend(Census::of_stack(self.dir(), &ids));
        for (ns, id) in NAMESPACES.iter().flat_map(|ns| ids.iter().map(move |id| (ns, id))) {
            let socket = self.shim_socket(ns, id);
            if socket.exists() {
                found.insert(format!("socket {} of {ns}/{id}", socket.display()));
            }
        }
        let links = self
            .shell("ip -o link show type veth; nft list ruleset | grep -A9 'map published' | grep elements");
        found.extend(links.stdout.lines().map(|line| format!("network {line}")));
        found
    }

    /// Fails the test unless [`Stack::remains`] comes to nothing. Collection and the daemons' own
    /// clearing up may take a moment.
    ///
    /// # Panics
    /// Something is left after some seconds; it is listed.
    #[track_caller]
    pub fn assert_clean(&self, ids: &[&str]) {
        let mut left = self.remains(ids);
        for _ in 0..100 {
            if left.is_empty() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            left = self.remains(ids);
        }
        panic!("left behind: {left:#?}");
    }

    /// References of unfinished blobs.
    pub fn ingests(&self, ns: &str) -> Vec<String> {
        let listed = self.ctr(&["-n", ns, "content", "active"]).ok();
        let references = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        references.map(str::to_owned).collect()
    }

    /// Blobs and snapshots, of images and of nobody, on disk and in the records.
    pub fn image_files(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for ns in NAMESPACES {
            for args in [&["images", "ls", "-q"][..], &["content", "ls", "-q"]] {
                let args = [&["-n", ns], args].concat();
                found.extend(self.ctr(&args).stdout.lines().map(|line| format!("{} {line}", args.join(" "))));
            }
        }
        list(&self.dir().join("cr/io.containerd.content.v1.content/blobs/sha256"), &mut found);
        for snapshotter in ["overlayfs", "native"] {
            let dir = self.dir().join(format!("cr/io.containerd.snapshotter.v1.{snapshotter}/snapshots"));
            list(&dir, &mut found);
        }
        found
    }

    /// Fails the test unless there is no image, blob or snapshot at all.
    ///
    /// # Panics
    /// Something is left.
    #[track_caller]
    pub fn assert_no_image(&self) {
        wait::eventually("blobs and snapshots of failed transfers go", || {
            self.ctr(&["leases", "create", "--id", "collect"]);
            self.ctr(&["leases", "rm", "--sync", "collect"]);
            let left = self.image_files();
            if !left.is_empty() {
                std::fs::write(self.dir().join("left"), format!("{left:#?}")).expect("note what is left");
            }
            left.is_empty().then_some(())
        });
    }

    /// Where the shim of a container listens.
    pub fn shim_socket(&self, ns: &str, id: &str) -> PathBuf {
        let name = format!("{}/{ns}/{id}", self.containerd_socket().display());
        Path::new("/run/containerd/s").join(hex::encode(Sha256::digest(name.as_bytes())))
    }

    fn records(&self, ns: &str, found: &mut BTreeSet<String>) {
        let queries: [&[&str]; 3] =
            [&["leases", "ls", "-q"], &["containers", "ls", "-q"], &["task", "ls", "-q"]];
        for query in queries {
            let answer = self.ctr(&[&["-n", ns], query].concat());
            assert_eq!(answer.code, 0, "{query:?}: {}", answer.stderr);
            found.extend(answer.stdout.lines().map(|line| format!("{ns}: {} {line}", query[0])));
        }
        for snapshotter in ["overlayfs", "native"] {
            let answer = self.ctr(&["-n", ns, "snapshots", "--snapshotter", snapshotter, "ls"]);
            let lines = answer.stdout.lines().filter(|l| l.ends_with("Active") || l.ends_with("View"));
            found.extend(lines.map(|line| format!("{ns}: {snapshotter} {line}")));
        }
    }

    fn files(&self, found: &mut BTreeSet<String>) {
        for parent in ["cr", "cs"] {
            for ns in NAMESPACES {
                list(&self.dir().join(parent).join("io.containerd.runtime.v2.task").join(ns), found);
            }
        }
        for folder in ["data/containers", "exec/containers", "exec/rootfs", "exec/netns", "exec/network"] {
            list(&self.dir().join(folder), found);
        }
        for runtime in ["runc", "runc-rs", "shim"] {
            list(&self.dir().join("exec/runtime").join(runtime).join("engine"), found);
        }
    }
}

fn list(dir: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    found.extend(entries.flatten().map(|entry| format!("file {}", entry.path().display())));
}

/// What may be a container's id in a log.
fn words_of_64_hex(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 64).map(str::to_owned).collect()
}
