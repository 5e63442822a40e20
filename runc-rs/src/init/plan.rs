//! What the child will do, decided and checked before it exists.

use std::ffi::CString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::seccomp::Program;
use crate::config::capabilities::CapabilitySets;
use crate::config::mounts::MountPlan;
use crate::config::namespaces::Namespaces;
use crate::config::spec::{self, Hook, IoPriority, Scheduler, Spec};

/// Everything, for a new container or for another process in one.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) namespaces: Namespaces,
    /// `exec`: the container that is entered.
    pub(crate) enter: Option<Enter>,
    /// Lines of /proc/PID/timens_offsets.
    pub(crate) time_offsets: String,
    pub(crate) hostname: String,
    pub(crate) domainname: String,
    /// Path below /proc/sys, and value.
    pub(crate) sysctl: Vec<(PathBuf, String)>,
    pub(crate) keyring: Option<CString>,
    /// `None` for `exec`.
    pub(crate) rootfs: Option<RootfsPlan>,
    pub(crate) process: ProcessPlan,
    /// Where the terminal's controlling side is sent.
    pub(crate) console: Option<OwnedFd>,
    /// The pipe on which `start` says the word; `None` goes on at once.
    pub(crate) start: Option<OwnedFd>,
    /// How many descriptors after stdio the program keeps.
    pub(crate) preserve_fds: RawFd,
    pub(crate) create_container: Vec<Hook>,
    pub(crate) start_container: Vec<Hook>,
    /// State for those hooks; the pid is filled in by the child.
    pub(crate) hook_state: serde_json::Value,
    /// Programs see a 32-bit machine.
    pub(crate) linux32: bool,
}

/// A container to go into.
#[derive(Debug)]
pub(crate) struct Enter {
    pub(crate) pidfd: OwnedFd,
    /// `CLONE_NEW*` of the namespaces that aren't ours already.
    pub(crate) mask: i32,
}

#[derive(Debug)]
pub(crate) struct RootfsPlan {
    pub(crate) path: PathBuf,
    pub(crate) readonly: bool,
    pub(crate) propagation: Option<u64>,
    pub(crate) mounts: Vec<MountPlan>,
    /// Detached trees of bind sources, by the mount's index: made by the parent where the child may not
    /// reach the source (user namespace).
    pub(crate) sources: Vec<Option<OwnedFd>>,
    pub(crate) devices: Vec<spec::Device>,
    pub(crate) masked: Vec<String>,
    pub(crate) readonly_paths: Vec<String>,
    pub(crate) label: String,
    pub(crate) no_pivot: bool,
    pub(crate) cgroup_namespace: bool,
    pub(crate) user_namespace: bool,
    /// v1: what is mounted below a cgroup mount.
    pub(crate) cgroup_v1: Vec<CgroupV1>,
}

/// One v1 hierarchy as a container sees it.
#[derive(Debug)]
pub(crate) struct CgroupV1 {
    /// `cpu,cpuacct`
    pub(crate) name: String,
    pub(crate) controllers: Vec<String>,
    /// The container's directory in it.
    pub(crate) directory: PathBuf,
}

#[derive(Debug)]
pub(crate) struct ProcessPlan {
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: CString,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) umask: Option<u32>,
    /// `None` keeps the caller's, as far as the ids let it.
    pub(crate) capabilities: Option<CapabilitySets>,
    pub(crate) no_new_privileges: bool,
    pub(crate) apparmor: String,
    pub(crate) selinux: String,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) io_priority: Option<IoPriority>,
    pub(crate) console_size: Option<spec::ConsoleSize>,
    pub(crate) seccomp: Option<Seccomp>,
}

/// A compiled filter, and who is asked about the calls that it leaves to somebody else.
#[derive(Debug)]
pub(crate) struct Seccomp {
    pub(crate) program: Program,
    /// The agent's socket, connected, and what goes with the listener.
    pub(crate) agent: Option<(OwnedFd, serde_json::Value)>,
}

fn c_string(text: &str) -> anyhow::Result<CString> {
    CString::new(text).with_context(|| format!("{text:?} contains a zero byte"))
}

impl ProcessPlan {
    pub(crate) fn from_spec(process: &spec::Process, seccomp: Option<Seccomp>) -> anyhow::Result<Self> {
        let mut env: Vec<CString> = Vec::with_capacity(process.env.len() + 1);
        for (at, entry) in process.env.iter().enumerate() {
            // The last of several wins, as with Go's exec.
            let key = entry.split('=').next().unwrap_or_default();
            let again = |later: &String| later.split('=').next() == Some(key);
            if process.env[at + 1..].iter().any(again) {
                continue;
            }
            env.push(c_string(entry)?);
        }
        Ok(Self {
            args: process.args.iter().map(|a| c_string(a)).collect::<anyhow::Result<_>>()?,
            env,
            cwd: c_string(&process.cwd)?,
            uid: process.user.uid,
            gid: process.user.gid,
            groups: process.user.additional_gids.clone(),
            umask: process.user.umask,
            capabilities: process.capabilities.as_ref().map(|c| CapabilitySets::from_spec(c).0),
            no_new_privileges: process.no_new_privileges.unwrap_or(false),
            apparmor: process.apparmor_profile.clone(),
            selinux: process.selinux_label.clone(),
            scheduler: process.scheduler.clone(),
            io_priority: process.io_priority.clone(),
            console_size: process.console_size,
            seccomp,
        })
    }
}

impl RootfsPlan {
    pub(crate) fn from_spec(
        spec: &Spec,
        namespaces: &Namespaces,
        bundle: &Path,
        no_pivot: bool,
    ) -> anyhow::Result<Self> {
        let root = spec.root.as_ref().context("root property must not be empty")?;
        let joined = bundle.join(&root.path);
        let path = joined.canonicalize().with_context(|| format!("invalid rootfs: {}", joined.display()))?;
        if !path.is_dir() {
            bail!("invalid rootfs: {} is not a directory", path.display());
        }
        if path == Path::new("/") {
            bail!("invalid rootfs: the host's root can't be a container's");
        }
        let mounts =
            spec.mounts.iter().map(|m| MountPlan::from_spec(m, bundle)).collect::<Result<Vec<_>, _>>()?;
        if let Some(mount) = mounts.iter().find(|m| !m.uid_map.is_empty() || !m.gid_map.is_empty()) {
            bail!("mount {}: id-mapped mounts are not supported yet", mount.destination.display());
        }
        let linux = &spec.linux;
        let propagation = match linux.rootfs_propagation.as_str() {
            "" => None,
            name => match mounts::propagation(name) {
                Some(flags) => Some(flags),
                None => bail!("rootfsPropagation={name} is not supported"),
            },
        };
        Ok(Self {
            path,
            readonly: root.readonly,
            propagation,
            mounts,
            sources: Vec::new(),
            devices: linux.devices.clone(),
            masked: linux.masked_paths.clone(),
            readonly_paths: linux.readonly_paths.clone(),
            label: linux.mount_label.clone(),
            no_pivot,
            cgroup_namespace: namespaces.makes(libc::CLONE_NEWCGROUP),
            user_namespace: namespaces.has(libc::CLONE_NEWUSER),
            cgroup_v1: Vec::new(),
        })
    }
}

/// `/proc/sys` paths of the sysctls: dots separate, unless the first separator is a slash.
pub(crate) fn sysctls(spec: &Spec) -> Vec<(PathBuf, String)> {
    let path = |key: &String| match key.find(['.', '/']) {
        // In this form a dot within a name is written as it is.
        Some(at) if key.as_bytes()[at] == b'/' => PathBuf::from(key),
        _ => key.split('.').map(|part| part.replace('/', ".")).collect(),
    };
    spec.linux.sysctl.iter().map(|(key, value)| (path(key), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_names_with_dots_in_them_keep_them() {
        let text = r#"{"linux":{"sysctl":{"net.ipv4.conf.eth0/1.mtu":"1","net/ipv4/conf/eth0.1/mtu":"2"}}}"#;
        let spec: Spec = serde_json::from_str(text).unwrap();
        for (path, _) in sysctls(&spec) {
            assert_eq!(path, Path::new("net/ipv4/conf/eth0.1/mtu"));
        }
    }

    #[test]
    fn the_last_of_several_variables_of_one_name_counts() {
        let env = ["A=1", "B=2", "A=3"].map(String::from).to_vec();
        let process = spec::Process { env, args: vec!["x".into()], cwd: "/".into(), ..Default::default() };
        let plan = ProcessPlan::from_spec(&process, None).unwrap();
        assert_eq!(plan.env, [c"B=2".to_owned(), c"A=3".to_owned()]);
    }
}
