//! Looking at snapshots' files: mounted in a mount namespace that only one thread is in, so that
//! nothing stays mounted however the daemon ends.

use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use proto::containerd::types::Mount;

use crate::error::{Error, Result};

/// Runs `look` with each list of mounts mounted read-only; none for an empty list. Blocks.
///
/// # Errors
/// Mounting fails, or `look` does.
pub(super) fn with_mounted<T: Send>(
    lists: &[&[Mount]],
    look: impl FnOnce(&[Option<PathBuf>]) -> Result<T> + Send,
) -> Result<T> {
    let places = tempfile::tempdir().map_err(|error| Error::caused("make a directory to mount on", error))?;
    let inside = || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)
            .map_err(|error| Error::caused("make a mount namespace", error))?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .map_err(|error| Error::caused("make mounts private", error))?;
        let mut roots = Vec::with_capacity(lists.len());
        for (n, list) in lists.iter().enumerate() {
            let place = places.path().join(n.to_string());
            std::fs::create_dir(&place)
                .map_err(|error| Error::caused(format!("make {}", place.display()), error))?;
            for one in *list {
                mount_at(one, &place)?;
            }
            roots.push((!list.is_empty()).then_some(place));
        }
        look(&roots)
    };
    std::thread::scope(|scope| {
        scope
            .spawn(inside)
            .join()
            .unwrap_or_else(|_| Err(Error::caused("look at a snapshot", "a thread panicked")))
    })
}

fn mount_at(one: &Mount, place: &Path) -> Result<()> {
    let failed =
        |error: nix::Error| Error::caused(format!("mount {} at {}", one.r#type, place.display()), error);
    match one.r#type.as_str() {
        "bind" => mount(
            Some(one.source.as_str()),
            place,
            None::<&str>,
            MsFlags::MS_BIND | MsFlags::MS_REC,
            None::<&str>,
        )
        .map_err(failed),
        "overlay" => {
            let data = read_only_overlay(&one.options);
            mount(Some("overlay"), place, Some("overlay"), MsFlags::MS_RDONLY, Some(data.as_str()))
                .map_err(failed)
        }
        other => Err(Error::invalid(format!("mount of type {other:?} can't be looked at"))),
    }
}

/// The options that show an overlay without writing to it: the upper directory becomes the first of
/// the lower ones, since a container may be using it.
fn read_only_overlay(options: &[String]) -> String {
    let find = |key: &str| options.iter().find_map(|option| option.strip_prefix(key));
    let lower = [find("upperdir="), find("lowerdir=")].into_iter().flatten().collect::<Vec<_>>().join(":");
    let has_attributes = options.iter().any(|option| option == "userxattr");
    format!("lowerdir={lower}{}", if has_attributes { ",userxattr" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_to_look_at_is_nowhere_else() {
        let dir = tempfile::tempdir().expect("temporary directory");
        for (name, file) in [("lower", "a"), ("upper", "b")] {
            std::fs::create_dir(dir.path().join(name)).expect("directory");
            std::fs::write(dir.path().join(name).join(file), file).expect("file");
        }
        let path = |name: &str| dir.path().join(name).display().to_string();
        let overlay = Mount {
            r#type: "overlay".into(),
            source: "overlay".into(),
            options: vec![
                format!("workdir={}", path("work")),
                format!("upperdir={}", path("upper")),
                format!("lowerdir={}", path("lower")),
                "index=off".into(),
            ],
            ..Mount::default()
        };
        let seen = with_mounted(&[&[], &[overlay]], |roots| {
            let root = roots[1].as_ref().expect("mounted");
            let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mountinfo");
            assert!(mounts.contains(&root.display().to_string()));
            Ok((roots[0].is_none(), root.join("a").exists() && root.join("b").exists(), root.clone()))
        });
        let (is_none, has_both, root) = seen.expect("looked");
        assert!(is_none && has_both);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        assert!(!mounts.contains(&root.display().to_string()) && !root.exists());
    }
}
