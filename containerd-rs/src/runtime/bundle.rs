//! Bundles: a task's directory, owned by the daemon and shared with its shim.
//!
//! ```text
//! STATE/io.containerd.runtime.v2.task/NS/ID/   0700, the task's bundle; `.ID` is one being removed
//!   config.json         the container's spec, byte for byte
//!   rootfs/             where the shim mounts the root file system
//!   work -> ROOT/io.containerd.runtime.v2.task/NS/ID
//!   log                 fifo: the shim's log, copied to ours
//!   shim-binary-path    the binary that `start` was run of, written before it is run
//!   bootstrap.json      how to reach the shim, written when `start` has answered
//!   exits               exits told so far (see `exits.rs`)
//! ```

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::launch::Bootstrap;
use crate::error::{Error, Result};

const DIRECTORY: &str = "io.containerd.runtime.v2.task";
const BINARY: &str = "shim-binary-path";
const BOOTSTRAP: &str = "bootstrap.json";

/// Where bundles and work directories are.
#[derive(Clone, Debug)]
pub struct Layout {
    state: PathBuf,
    root: PathBuf,
}

impl Layout {
    /// The layout below the daemon's root and state directories.
    pub fn new(root: &Path, state: &Path) -> Self {
        Self { state: state.join(DIRECTORY), root: root.join(DIRECTORY) }
    }

    /// A task's bundle.
    pub fn bundle(&self, namespace: &str, id: &str) -> PathBuf {
        self.state.join(namespace).join(id)
    }

    fn work(&self, namespace: &str, id: &str) -> PathBuf {
        self.root.join(namespace).join(id)
    }

    /// Makes a bundle with `spec` as its config.json. What a failure leaves is removed.
    ///
    /// # Errors
    /// Already exists, or a file operation failed.
    pub(super) fn create(&self, namespace: &str, id: &str, spec: &[u8], binary: &Path) -> Result<PathBuf> {
        let bundle = self.bundle(namespace, id);
        let step = |error: io::Error| Error::caused(format!("make the bundle {}", bundle.display()), error);
        if bundle.exists() {
            return Err(Error::already_exists(format!("bundle {}", bundle.display())));
        }
        let made = self.fill(namespace, id, &bundle, spec, binary);
        if made.is_err() {
            let _ = self.remove(namespace, id);
        }
        made.map_err(step)?;
        Ok(bundle)
    }

    fn fill(&self, namespace: &str, id: &str, bundle: &Path, spec: &[u8], binary: &Path) -> io::Result<()> {
        directory(&self.state.join(namespace), 0o711)?;
        directory(&self.root.join(namespace), 0o711)?;
        let group = remapped_group(spec);
        std::fs::DirBuilder::new().mode(if group.is_some() { 0o710 } else { 0o700 }).create(bundle)?;
        if group.is_some() {
            std::os::unix::fs::chown(bundle, None, group)?;
        }
        let work = self.work(namespace, id);
        directory(&work, 0o711)?;
        std::os::unix::fs::symlink(&work, bundle.join("work"))?;
        std::fs::DirBuilder::new().mode(0o711).create(bundle.join("rootfs"))?;
        nix::unistd::mkfifo(&bundle.join("log"), nix::sys::stat::Mode::from_bits_truncate(0o700))?;
        write(&bundle.join(BINARY), binary.as_os_str().as_encoded_bytes(), 0o600)?;
        write(&bundle.join("config.json"), spec, 0o644)
    }

    /// Writes down how to reach the shim.
    pub(super) fn save_bootstrap(&self, namespace: &str, id: &str, bootstrap: &Bootstrap) -> Result<()> {
        let path = self.bundle(namespace, id).join(BOOTSTRAP);
        let text = serde_json::to_vec(bootstrap).unwrap_or_default();
        write(&path, &text, 0o644).map_err(|error| Error::caused(format!("write {}", path.display()), error))
    }

    /// How to reach the shim of a bundle: what we wrote, or what a shim of old wrote itself.
    pub(super) fn bootstrap(&self, namespace: &str, id: &str) -> Option<Bootstrap> {
        let bundle = self.bundle(namespace, id);
        let text = std::fs::read(bundle.join(BOOTSTRAP)).or_else(|_| std::fs::read(bundle.join("address")));
        Bootstrap::parse(&text.ok()?).ok()
    }

    /// The shim's binary.
    pub(super) fn binary(&self, namespace: &str, id: &str) -> Option<PathBuf> {
        let text = std::fs::read_to_string(self.bundle(namespace, id).join(BINARY)).ok()?;
        (!text.is_empty()).then(|| text.into())
    }

    /// Removes a bundle: unmounts its rootfs, takes it out of sight, then deletes it.
    ///
    /// # Errors
    /// The rootfs can't be unmounted; the bundle stays.
    pub(super) fn remove(&self, namespace: &str, id: &str) -> Result<()> {
        let bundle = self.bundle(namespace, id);
        let removed = unmount(&bundle.join("rootfs")).and_then(|()| {
            let hidden = self.state.join(namespace).join(format!(".{id}"));
            match std::fs::rename(&bundle, &hidden) {
                Ok(()) => remove_tree(&hidden),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
        });
        removed.map_err(|error| Error::caused(format!("remove the bundle {}", bundle.display()), error))?;
        let _ = std::fs::remove_dir_all(self.work(namespace, id));
        Ok(())
    }

    /// Every task's namespace and id. Removes what a killed daemon was removing or had just begun.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for namespace in names(&self.state) {
            let folder = self.state.join(&namespace);
            for id in names(&folder) {
                let path = folder.join(&id);
                if id.starts_with('.') || names(&path).is_empty() {
                    let swept = unmount(&path.join("rootfs")).and_then(|()| remove_tree(&path));
                    if let Err(error) = swept {
                        tracing::warn!(path = %path.display(), %error, "sweep a removed bundle");
                    }
                } else {
                    found.push((namespace.clone(), id));
                }
            }
        }
        found
    }
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::io::Write;
    let new = path.with_extension("new");
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    file.write_all(bytes)?;
    std::fs::rename(&new, path)
}

/// Takes every mount off `path`.
fn unmount(path: &Path) -> io::Result<()> {
    use nix::errno::Errno;
    loop {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // EINVAL: nothing is mounted there (any more).
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes a bundle's files. A rootfs that was never mounted may hold what a runtime made in it
/// (`dev`, `proc`): it is the bundle's own.
fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The host's group for the container's group 0, if its spec maps it elsewhere.
fn remapped_group(spec: &[u8]) -> Option<u32> {
    let spec: serde_json::Value = serde_json::from_slice(spec).ok()?;
    let mappings = spec.pointer("/linux/gidMappings")?.as_array()?;
    let zero = mappings.iter().find(|mapping| mapping["containerID"].as_u64() == Some(0))?;
    zero["hostID"].as_u64()?.try_into().ok().filter(|gid| *gid != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_made_whole_found_again_and_removed() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::new(&dir.path().join("r"), &dir.path().join("s"));
        let bundle = layout.create("ns", "c", b"{}", Path::new("/bin/shim")).expect("create");
        assert_eq!(std::fs::read(bundle.join("config.json")).expect("spec"), b"{}");
        assert_eq!(std::fs::metadata(&bundle).expect("bundle").permissions().mode() & 0o777, 0o700);
        assert_eq!(layout.binary("ns", "c"), Some("/bin/shim".into()));
        layout.create("ns", "c", b"{}", Path::new("/bin/shim")).expect_err("it exists");
        assert!(bundle.join("config.json").exists(), "a refused create must not harm the other's bundle");
        assert_eq!(layout.all(), [("ns".to_owned(), "c".to_owned())]);
        layout.remove("ns", "c").expect("remove");
        assert!(layout.all().is_empty() && !layout.work("ns", "c").exists());
        layout.remove("ns", "c").expect("removing twice is fine");
    }

    #[test]
    fn a_removal_cut_short_is_finished_at_the_next_start() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::new(&dir.path().join("r"), &dir.path().join("s"));
        let bundle = layout.create("ns", "c", b"{}", Path::new("/bin/shim")).expect("create");
        let hidden = bundle.with_file_name(".c");
        std::fs::rename(&bundle, &hidden).expect("rename");
        assert!(layout.all().is_empty());
        assert!(!hidden.exists());
    }
}
