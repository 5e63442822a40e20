//! Bundles: a directory for every task.
//!
//! ```text
//! STATE/io.containerd.runtime.v2.task/NS/ID/     0711/0700 (0710 and the mapped group with a user namespace)
//!   config.json        the spec, byte for byte
//!   rootfs/            where the shim mounts the snapshot
//!   work               → ROOT/io.containerd.runtime.v2.task/NS/ID
//!   log                fifo: the shim's log, copied to the daemon's standard error
//!   shim-binary-path   the shim's binary, written before it runs
//!   bootstrap.json     what the shim answered: {version, address, protocol}
//!   exits              which exits were told (exits.rs)
//!   …                  the shim's own files
//! STATE/io.containerd.runtime.v2.task/NS/.ID     being removed
//! ```

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use serde_json::Value;

use super::bootstrap::Bootstrap;
use crate::error::{Error, Result};

const DIRECTORY: &str = "io.containerd.runtime.v2.task";
const BOOTSTRAP: &str = "bootstrap.json";
const SHIM_PATH: &str = "shim-binary-path";
/// Mounts stacked on one rootfs that are taken off.
const MAX_STACK: usize = 64;

/// Where bundles and work directories are.
#[derive(Clone, Debug)]
pub struct Layout {
    bundles: PathBuf,
    works: PathBuf,
}

impl Layout {
    /// The layout under the daemon's two directories.
    pub fn new(root: &Path, state: &Path) -> Self {
        Self { bundles: state.join(DIRECTORY), works: root.join(DIRECTORY) }
    }

    /// The directory of all bundles.
    pub(super) fn bundles(&self) -> &Path {
        &self.bundles
    }

    /// The directory of all work directories.
    pub(super) fn works(&self) -> &Path {
        &self.works
    }

    /// A task's bundle directory.
    pub(super) fn bundle(&self, namespace: &str, id: &str) -> PathBuf {
        self.bundles.join(namespace).join(id)
    }
}

/// A task's directory.
#[derive(Clone, Debug)]
pub(super) struct Bundle {
    pub(super) namespace: String,
    pub(super) id: String,
    path: PathBuf,
    work: PathBuf,
}

impl Bundle {
    /// The bundle of a task, whether it exists or not.
    pub(super) fn of(layout: &Layout, namespace: &str, id: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            id: id.to_owned(),
            path: layout.bundle(namespace, id),
            work: layout.works.join(namespace).join(id),
        }
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory with everything that `start` of a shim may look for; nothing stays if
    /// that fails.
    pub(super) fn create(&self, spec: &[u8]) -> Result<()> {
        let parsed: Value = match serde_json::from_slice(spec) {
            Ok(parsed) => parsed,
            Err(error) if error.is_eof() => {
                return Err(Error::caused("read the container's spec", "unexpected end of JSON input"));
            }
            Err(error) => return Err(Error::caused("read the container's spec", error)),
        };
        if fs::symlink_metadata(&self.path).is_ok() {
            // No task answers for it (the caller looked), so it is what an earlier removal left.
            self.remove()?;
        }
        self.fill(spec, &parsed).map_err(|error| {
            let _ = self.remove();
            Error::caused(format!("make the bundle {}", self.path.display()), error)
        })
    }

    fn fill(&self, spec: &[u8], parsed: &Value) -> io::Result<()> {
        for directory in [&self.path, &self.work] {
            if let Some(parent) = directory.parent() {
                DirBuilder::new().mode(0o711).recursive(true).create(parent)?;
            }
        }
        DirBuilder::new().mode(0o700).create(&self.path)?;
        if let Some(gid) = mapped_root_group(parsed) {
            chown(&self.path, None, Some(gid))?;
            fs::set_permissions(&self.path, Permissions::from_mode(0o710))?;
        }
        match DirBuilder::new().mode(0o711).create(&self.work) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_dir_all(&self.work)?;
                DirBuilder::new().mode(0o711).create(&self.work)?;
            }
            other => other?,
        }
        DirBuilder::new().mode(0o711).create(self.path.join("rootfs"))?;
        symlink(&self.work, self.path.join("work"))?;
        fs::write(self.spec(), spec)?;
        nix::unistd::mkfifo(&self.log(), Mode::S_IRWXU)?;
        Ok(())
    }

    /// The spec's file.
    pub(super) fn spec(&self) -> PathBuf {
        self.path.join("config.json")
    }

    /// The shim's log fifo.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Writes down which binary is about to run.
    pub(super) fn write_shim_path(&self, binary: &Path) -> Result<()> {
        self.write(SHIM_PATH, binary.as_os_str().as_encoded_bytes(), 0o600)
    }

    /// The binary that was about to run.
    pub(super) fn shim_path(&self) -> Option<PathBuf> {
        let text = fs::read_to_string(self.path.join(SHIM_PATH)).ok()?;
        Some(PathBuf::from(text.trim())).filter(|path| path.is_absolute())
    }

    /// Writes down what the shim answered.
    pub(super) fn write_bootstrap(&self, bootstrap: &Bootstrap) -> Result<()> {
        let json =
            serde_json::to_vec(bootstrap).map_err(|error| Error::caused("encode bootstrap.json", error))?;
        self.write(BOOTSTRAP, &json, 0o644)
    }

    /// What the shim answered; from the shim's own `address` file if ours is missing or damaged.
    pub(super) fn bootstrap(&self) -> Option<Bootstrap> {
        let ours = fs::read(self.path.join(BOOTSTRAP)).ok();
        let ours = ours.and_then(|json| serde_json::from_slice::<Bootstrap>(&json).ok());
        ours.or_else(|| Bootstrap::parse(&fs::read(self.path.join("address")).ok()?).ok())
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let path = self.path.join(name);
        let unready = self.path.join(format!(".{name}"));
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&unready)?;
            file.write_all(bytes)?;
            fs::rename(&unready, &path)
        };
        write().map_err(|error| Error::caused(format!("write {}", path.display()), error))
    }

    /// Removes the socket of a shim that nobody listens on any more: not every shim's `delete` does. Others of its
    /// group may be served there yet.
    pub(super) fn remove_stale_socket(&self) {
        let Some(bootstrap) = self.bootstrap() else { return };
        if let Some(path) = bootstrap.address.strip_prefix("unix://")
            && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path, %error, "the socket of a shim that is gone stays");
        }
    }

    /// Unmounts the rootfs and removes the directories. What is gone already is no error.
    pub(super) fn remove(&self) -> Result<()> {
        self.take_away()
            .map_err(|error| Error::caused(format!("remove the bundle {}", self.path.display()), error))
    }

    fn take_away(&self) -> io::Result<()> {
        unmount_all(&self.path.join("rootfs"))?;
        let hidden = self.path.with_file_name(format!(".{}", self.id));
        match fs::rename(&self.path, &hidden) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Left from an earlier try.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                remove_unmounted(&hidden)?;
                fs::rename(&self.path, &hidden)?;
            }
            other => other?,
        }
        remove_unmounted(&hidden)?;
        remove_tree(&self.work)
    }
}

/// Removes a directory that holds a bundle no more, unless something is still mounted below it.
pub(super) fn remove_unmounted(path: &Path) -> io::Result<()> {
    let rootfs = path.join("rootfs");
    unmount_all(&rootfs)?;
    match fs::remove_dir(&rootfs) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && has_mounts(path)? => {
            return Err(io::Error::new(ErrorKind::ResourceBusy, "something is mounted below it"));
        }
        _ => {}
    }
    remove_tree(path)
}

/// Removes a tree; one that is gone already is no error.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn unmount_all(path: &Path) -> io::Result<()> {
    for _ in 0..MAX_STACK {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // Nothing mounted there, or no such directory.
            Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(ErrorKind::ResourceBusy, "too many mounts on its rootfs"))
}

fn has_mounts(path: &Path) -> io::Result<bool> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
    // Field 5, with blanks and the like as octal; bundles' names have none.
    Ok(mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|point| Path::new(point).starts_with(path)))
}

/// The host's group for the container's group 0, if the spec asks for a user namespace.
fn mapped_root_group(spec: &Value) -> Option<u32> {
    let linux = spec.get("linux")?;
    let namespaces = linux.get("namespaces")?.as_array()?;
    namespaces.iter().find(|namespace| namespace.get("type").and_then(Value::as_str) == Some("user"))?;
    let number = |mapping: &Value, key: &str| mapping.get(key).and_then(Value::as_u64);
    linux.get("gidMappings")?.as_array()?.iter().find_map(|mapping| {
        let (first, size) = (number(mapping, "containerID")?, number(mapping, "size")?);
        (first == 0 && size > 0).then(|| number(mapping, "hostID"))?.and_then(|gid| gid.try_into().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> (tempfile::TempDir, Bundle) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::new(&dir.path().join("root"), &dir.path().join("state"));
        let bundle = Bundle::of(&layout, "ns", "id");
        (dir, bundle)
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("exists").permissions().mode() & 0o7777
    }

    #[test]
    fn a_bundle_holds_the_spec_verbatim_and_goes_without_a_trace() {
        let (_dir, bundle) = bundle();
        let spec = b"{ \"ociVersion\" : \"1.0.2\" }\n";
        bundle.create(spec).expect("create");
        assert_eq!(fs::read(bundle.path().join("config.json")).expect("spec"), spec);
        assert_eq!(mode(bundle.path()), 0o700);
        assert_eq!(mode(&bundle.path().join("rootfs")), 0o711);
        assert!(bundle.path().join("work").is_dir());
        fs::write(bundle.path().join("rootfs/left-by-the-runtime"), "").expect("write");
        bundle.remove().expect("remove");
        let parent = bundle.path().parent().expect("parent");
        assert_eq!(fs::read_dir(parent).expect("list").count(), 0);
        assert!(!bundle.work.exists());
        bundle.remove().expect("a second time is no error");
    }

    #[test]
    fn a_spec_that_is_no_json_leaves_nothing() {
        let (_dir, bundle) = bundle();
        let status = tonic::Status::from(bundle.create(b"").expect_err("empty"));
        assert_eq!(status.code(), tonic::Code::Unknown);
        assert!(status.message().contains("unexpected end of JSON input"), "{status:?}");
        assert!(!bundle.path().exists());
    }

    #[test]
    fn a_user_namespace_gives_its_root_group_a_way_through() {
        let (_dir, bundle) = bundle();
        let spec = br#"{"linux": {"namespaces": [{"type": "user"}],
            "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]}}"#;
        bundle.create(spec).expect("create");
        assert_eq!(mode(bundle.path()), 0o710);
        let gid = std::os::unix::fs::MetadataExt::gid(&fs::metadata(bundle.path()).expect("exists"));
        assert_eq!(gid, 100_000);
    }

    #[test]
    fn a_damaged_bootstrap_falls_back_to_the_shims_own_address() {
        let (_dir, bundle) = bundle();
        bundle.create(b"{}").expect("create");
        assert!(bundle.bootstrap().is_none());
        let written = Bootstrap { version: 3, address: "unix:///a".into(), protocol: "ttrpc".into() };
        bundle.write_bootstrap(&written).expect("write");
        assert_eq!(bundle.bootstrap(), Some(written));
        fs::write(bundle.path().join(BOOTSTRAP), "{\"vers").expect("damage");
        fs::write(bundle.path().join("address"), "unix:///b").expect("write");
        assert_eq!(bundle.bootstrap().map(|b| b.address), Some("unix:///b".into()));
    }
}
