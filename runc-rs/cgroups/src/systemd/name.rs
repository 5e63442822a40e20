//! Names of units and where systemd puts them. Pure.

use std::path::PathBuf;

use super::Unit;
use crate::error::{Error, Result};

/// The unit that a `cgroupsPath` asks for.
pub(super) fn unit(path: &str, id: &str, system: bool) -> Result<Unit> {
    let default = if system { "system.slice" } else { "user.slice" };
    let parts: Vec<&str> = if path.is_empty() { vec!["", "runc", id] } else { path.split(':').collect() };
    let [slice, prefix, name] = parts[..] else {
        let reason = format!(
            "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
        );
        return Err(Error::invalid("linux.cgroupsPath", reason));
    };
    let slice = if slice.is_empty() { default } else { slice };
    expand(slice)?;
    let name = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
    let good = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if name.len() > 255 || !name.chars().all(good) {
        return Err(Error::invalid("linux.cgroupsPath", format!("{name:?} is not a name of a unit")));
    }
    Ok(Unit { name, slice: slice.to_owned() })
}

/// `a-b.slice` lies in `a.slice`; `-.slice` is the root.
pub(super) fn expand(slice: &str) -> Result<PathBuf> {
    let bad = || Error::invalid("linux.cgroupsPath", format!("invalid slice name: {slice}"));
    let name = slice.strip_suffix(".slice").ok_or_else(bad)?;
    if name == "-" {
        return Ok(PathBuf::new());
    }
    let parts: Vec<&str> = name.split('-').collect();
    if name.contains(['/', ':']) || parts.iter().any(|part| part.is_empty()) {
        return Err(bad());
    }
    Ok((1..=parts.len()).map(|n| format!("{}.slice", parts[..n].join("-"))).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_slice_lies_in_those_that_its_name_begins_with() {
        assert_eq!(expand("a-b-c.slice").unwrap(), Path::new("a.slice/a-b.slice/a-b-c.slice"));
        assert_eq!(expand("-.slice").unwrap(), Path::new(""));
        for bad in ["a", "a/b.slice", "-a.slice", "a-.slice", "a--b.slice", ".slice"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_names_slice_and_scope() {
        let scope = |path, system| unit(path, "id", system).map(|u| (u.slice, u.name)).unwrap();
        assert_eq!(scope("a.slice:docker:x", true), ("a.slice".into(), "docker-x.scope".into()));
        assert_eq!(
            scope(":cri-containerd:x", true),
            ("system.slice".into(), "cri-containerd-x.scope".into())
        );
        assert_eq!(scope("a.slice::x", true).1, "x.scope");
        assert_eq!(scope("", false), ("user.slice".into(), "runc-id.scope".into()));
        for bad in ["/a/b", "a:b", "a.slice:b:c:d", "x:b:c", "a.slice:b:c d", "a.slice:b:../c"] {
            assert!(unit(bad, "id", true).is_err(), "{bad}");
        }
    }
}
