//! Network namespaces that live as long as their file: made by a thread that unshares, pinned by a bind mount.

use std::{
    fs::{self, File},
    io,
    path::Path,
    thread,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

use super::{Error, error::Step};

/// Runs `work` on a thread of its own that has entered the namespace behind `netns`. Sockets that it opens
/// and processes that it starts stay in there; the thread is gone afterwards.
pub(super) fn inside<T: Send + 'static>(
    netns: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let object = netns.display().to_string();
    let file = File::open(netns).step("open network namespace", &object)?;
    on_thread(object.clone(), move || {
        setns(file, CloneFlags::CLONE_NEWNET).step("enter network namespace", object)?;
        work()
    })
}

/// Makes a namespace, pins it at `path` and runs `work` inside it. On failure nothing is left behind.
pub(super) fn create<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let object = path.display().to_string();
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).step("create directory", parent.display().to_string())?;
    }
    remove(path)?;
    File::create_new(path).step("create namespace file", &object)?;
    let pin = path.to_owned();
    let made = on_thread(object.clone(), move || {
        unshare(CloneFlags::CLONE_NEWNET).step("unshare network namespace", &object)?;
        mount(Some("/proc/thread-self/ns/net"), &pin, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .step("pin network namespace", &object)?;
        work()
    });
    if made.is_err() {
        remove(path)?;
    }
    made
}

/// Unpins the namespace. The kernel frees it, with all links inside, once its last process is gone.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    // A bind mount may have been stacked by an earlier life that was killed half-way.
    while umount2(path, MntFlags::MNT_DETACH).is_ok() {}
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).step("remove namespace file", path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// True when `path` is a pinned network namespace and not just a file.
pub(super) fn pinned(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
}

fn on_thread<T: Send + 'static>(
    object: String,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let thread = thread::Builder::new().name("netns".into()).spawn(work).step("start thread for", &object)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")).step("work in", object))
}
