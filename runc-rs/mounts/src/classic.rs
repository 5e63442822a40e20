//! mount(2), for containerd's lists of mounts.

use std::ffi::CString;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::error::{Error, Result};
use crate::options::Options;
use crate::unmount::unmount_all;

/// The kernel copies options into one page.
const PAGE: usize = 4096;

/// One of containerd's mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// `overlay`, `bind`, `tmpfs`, ….
    pub kind: String,
    /// Device, directory, or a name.
    pub source: String,
    /// Below the target that the list is mounted on; empty: the target itself.
    pub target: String,
    /// As strings.
    pub options: Vec<String>,
}

/// Mounts a list on `target`, the first at the bottom.
///
/// # Errors
/// One can't be mounted; those before it are gone again.
pub fn mount_all(mounts: &[Mount], target: &Path) -> Result<()> {
    let mut done: Vec<PathBuf> = Vec::new();
    for one in mounts {
        let place = inside(target, &one.target);
        if let Err(e) = attach(one, &place) {
            // The error that counts is the first.
            done.iter().rev().for_each(|place| drop(unmount_all(place)));
            return Err(e);
        }
        done.push(place);
    }
    Ok(())
}

/// `target` below `root`, whatever `..` it holds.
fn inside(root: &Path, target: &str) -> PathBuf {
    let mut out = root.to_owned();
    for part in Path::new(target).components() {
        if let Component::Normal(name) = part {
            out.push(name);
        }
    }
    out
}

fn attach(one: &Mount, target: &Path) -> Result<()> {
    let options = Options::parse(&one.options);
    let data = options.data();
    let fail = |source: Errno| Error::Mount {
        kind: one.kind.clone(),
        source_name: one.source.clone(),
        target: target.to_owned(),
        flags: options.flags,
        data: data.clone(),
        source: source.into(),
    };
    let bind = options.is_bind() || one.kind == "bind";
    let flags = MsFlags::from_bits_retain(options.flags);
    if bind {
        let first = MsFlags::MS_BIND | flags & MsFlags::MS_REC;
        mount(Some(one.source.as_str()), target, None::<&str>, first, None::<&str>).map_err(fail)?;
        let rest = flags.difference(MsFlags::MS_BIND | MsFlags::MS_REC | MsFlags::MS_SILENT);
        if !rest.is_empty() {
            // The first call heeds nothing else.
            let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | rest;
            if let Err(e) = mount(None::<&str>, target, None::<&str>, again, None::<&str>) {
                let _ = unmount_all(target);
                return Err(fail(e));
            }
        }
    } else if data.len() < PAGE {
        mount(Some(one.source.as_str()), target, Some(one.kind.as_str()), flags, Some(data.as_str()))
            .map_err(fail)?;
    } else {
        let short = Shortened::of(&options.data).filter(|s| s.data.len() < PAGE);
        let short = short.ok_or_else(|| Error::TooLong { target: target.to_owned(), length: data.len() })?;
        let target = std::path::absolute(target).map_err(|e| Error::path("resolve", target, e))?;
        short.mount(&one.kind, &one.source, &target, flags).map_err(fail)?;
    }
    for flag in &options.propagation {
        let flag = MsFlags::from_bits_retain(*flag);
        if let Err(e) = mount(None::<&str>, target, None::<&str>, flag, None::<&str>) {
            let _ = unmount_all(target);
            return Err(fail(e));
        }
    }
    Ok(())
}

/// Overlay options with the layers relative to a directory that they share.
struct Shortened {
    directory: PathBuf,
    data: String,
}

impl Shortened {
    fn of(data: &[String]) -> Option<Self> {
        let lower = data.iter().find_map(|d| d.strip_prefix("lowerdir="))?;
        let layers: Vec<&Path> = lower.split(':').map(Path::new).collect();
        let mut directory = layers.first()?.parent()?.to_owned();
        while !layers.iter().all(|l| l.starts_with(&directory)) {
            directory = directory.parent()?.to_owned();
        }
        let relative: Vec<String> = layers
            .iter()
            .map(|l| Some(l.strip_prefix(&directory).ok()?.to_str()?.to_owned()))
            .collect::<Option<_>>()?;
        if relative.iter().any(String::is_empty) {
            return None;
        }
        let shorter = format!("lowerdir={}", relative.join(":"));
        let data: Vec<&str> =
            data.iter().map(|d| if d.starts_with("lowerdir=") { shorter.as_str() } else { d }).collect();
        Some(Self { directory, data: data.join(",") })
    }

    /// In a thread with a working directory of its own: changing the process's would be seen by all.
    fn mount(
        &self,
        kind: &str,
        source: &str,
        target: &Path,
        flags: MsFlags,
    ) -> std::result::Result<(), Errno> {
        let data = CString::new(self.data.as_str()).map_err(|_| Errno::EINVAL)?;
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                unshare(CloneFlags::CLONE_FS)?;
                nix::unistd::chdir(&self.directory)?;
                mount(Some(source), target, Some(kind), flags, Some(data.as_c_str()))
            });
            work.join().unwrap_or(Err(Errno::EFAULT))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_shortened_to_what_differs() {
        let data =
            ["lowerdir=/var/lib/s/2/fs:/var/lib/s/1/fs".to_owned(), "upperdir=/var/lib/s/3/fs".to_owned()];
        let short = Shortened::of(&data).unwrap();
        assert_eq!(short.directory, Path::new("/var/lib/s"));
        assert_eq!(short.data, "lowerdir=2/fs:1/fs,upperdir=/var/lib/s/3/fs");
    }

    #[test]
    fn a_target_never_leaves_the_root() {
        assert_eq!(inside(Path::new("/r"), "/../../etc/./x"), Path::new("/r/etc/x"));
    }
}
