//! devices.allow and devices.deny.

use std::path::Path;

use super::policy::{Exception, Kind, MKNOD, Policy, READ, WRITE};
use crate::error::Result;
use crate::files;

/// Replaces whatever was in force. For a moment in between (a running container's update), a denied-by-default
/// group denies more than it should; never less.
pub(crate) fn enforce(dir: &Path, policy: &Policy) -> Result<()> {
    let (all, file) = if policy.default_allow {
        ("devices.allow", "devices.deny")
    } else {
        ("devices.deny", "devices.allow")
    };
    files::write(dir, all, "a")?;
    policy.exceptions.iter().try_for_each(|e| files::write(dir, file, &line(e)))
}

fn line(e: &Exception) -> String {
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let kind = match e.kind {
        Kind::Block => 'b',
        Kind::Char => 'c',
    };
    let access: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .iter()
        .filter(|(bit, _)| e.access & bit != 0)
        .map(|(_, c)| *c)
        .collect();
    format!("{kind} {}:{} {access}", number(e.major), number(e.minor))
}
