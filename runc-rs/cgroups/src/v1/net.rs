//! net_cls and net_prio.

use std::path::Path;

use oci_spec::runtime::LinuxNetwork;

use crate::error::Result;
use crate::files;

pub(crate) fn apply<'a>(need: impl Fn(&str, &str) -> Result<&'a Path>, network: &LinuxNetwork) -> Result<()> {
    if let Some(class) = network.class_id().filter(|c| *c != 0) {
        let dir = need("net_cls", "linux.resources.network.classID")?;
        files::write(dir, "net_cls.classid", &class.to_string())?;
    }
    for priority in network.priorities().iter().flatten() {
        let dir = need("net_prio", "linux.resources.network.priorities")?;
        files::write(dir, "net_prio.ifpriomap", &format!("{} {}", priority.name(), priority.priority()))?;
    }
    Ok(())
}
