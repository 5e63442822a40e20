//! Views of the host's cgroups: mount namespaces in which a runtime sees only v1 or only v2.
//!
//! A hybrid host has both; crun 1.8 refuses such a host whatever its flags. The views are private: the
//! host's own mounts stay as they are. They cost nothing in a measurement: commands are started inside.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What a runtime sees below /sys/fs/cgroup.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) title: &'static str,
    /// cgroup v2: containers get a cgroup namespace of their own, as engines give them there.
    pub(crate) v2: bool,
    holder: Option<Child>,
}

const V1_ONLY: &str = "umount -l /sys/fs/cgroup/unified";
const V2_ONLY: &str = "umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup";

impl View {
    /// The views that this host allows: v1 and v2 on a hybrid host, else the one it has.
    ///
    /// # Errors
    /// A mount namespace can't be made.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let root = Path::new("/sys/fs/cgroup");
        if root.join("cgroup.controllers").exists() {
            return Ok(vec![Self { title: "cgroup v2", v2: true, holder: None }]);
        }
        if !root.join("unified/cgroup.procs").exists() {
            return Ok(vec![Self { title: "cgroup v1", v2: false, holder: None }]);
        }
        Ok(vec![Self::hold("cgroup v1", false, V1_ONLY)?, Self::hold("cgroup v2", true, V2_ONLY)?])
    }

    fn hold(title: &'static str, v2: bool, prepare: &str) -> Result<Self> {
        let script = format!("{prepare} && echo ready && exec cat");
        let mut holder = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start unshare")?;
        let mut said = String::new();
        if let Some(stdout) = holder.stdout.take() {
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut said)?;
        }
        let view = Self { title, v2, holder: Some(holder) };
        ensure!(said == "ready\n", "{title}: the private mount namespace was not set up (root is needed)");
        Ok(view)
    }

    /// What comes before a command that shall see this view.
    pub(crate) fn around(&self) -> Vec<OsString> {
        let Some(holder) = &self.holder else { return Vec::new() };
        let namespace: PathBuf = format!("/proc/{}/ns/mnt", holder.id()).into();
        let mut option = OsString::from("--mount=");
        option.push(namespace);
        vec!["nsenter".into(), option]
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(holder) = &mut self.holder {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}
