//! What a configuration must not say. Checked before anything exists.

use std::path::Path;

use anyhow::bail;

use super::namespaces::{CLONE_NEWTIME, Namespaces};
use super::spec::{Process, Spec};

/// Ids become directory and cgroup names.
pub(crate) fn id(id: &str) -> Result<(), crate::error::Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id.is_empty() || id.len() > 1024 || id == "." || id == ".." || !id.chars().all(allowed) {
        return Err(crate::error::Refusal::InvalidId(id.to_owned()));
    }
    Ok(())
}

/// The whole document, against the namespaces it asks for.
pub(crate) fn spec(spec: &Spec, namespaces: &Namespaces) -> anyhow::Result<()> {
    if !spec.version.starts_with("1.") {
        bail!("unsupported runtime-spec version {:?} (this runtime knows 1.x)", spec.version);
    }
    let Some(root) = &spec.root else { bail!("root property must not be empty") };
    if root.path.as_os_str().is_empty() {
        bail!("root path must not be empty");
    }
    let Some(process) = &spec.process else { bail!("process property must not be empty") };
    self::process(process)?;

    if !namespaces.has(libc::CLONE_NEWNS) {
        bail!("unable to set up a root file system without a private MNT namespace");
    }
    let uts = namespaces.has(libc::CLONE_NEWUTS);
    if !uts && !spec.hostname.is_empty() {
        bail!("unable to set hostname without a private UTS namespace");
    }
    if !uts && !spec.domainname.is_empty() {
        bail!("unable to set domainname without a private UTS namespace");
    }
    let linux = &spec.linux;
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    if mapped && !namespaces.has(libc::CLONE_NEWUSER) {
        bail!("USER mappings specified, but USER namespace isn't enabled in the config");
    }
    if namespaces.makes(libc::CLONE_NEWUSER) {
        if linux.uid_mappings.is_empty() {
            bail!("user namespaces enabled, but no uid mappings found");
        }
        if linux.gid_mappings.is_empty() {
            bail!("user namespaces enabled, but no gid mappings found");
        }
        if linux.uid_mappings.len() > 340 || linux.gid_mappings.len() > 340 {
            bail!("more than 340 id mappings, which is all that the kernel takes");
        }
    }
    if !linux.time_offsets.is_empty() {
        if !namespaces.makes(CLONE_NEWTIME) {
            bail!("time namespace offsets specified, but a TIME namespace isn't made");
        }
        if let Some(clock) =
            linux.time_offsets.keys().find(|c| !matches!(c.as_str(), "monotonic" | "boottime"))
        {
            bail!("clock {clock:?} has no time namespace offset");
        }
    }
    if let Some(personality) = &linux.personality
        && !matches!(personality.domain.as_str(), "LINUX" | "LINUX32")
    {
        bail!("unknown personality domain {:?}", personality.domain);
    }
    linux.sysctl.keys().try_for_each(|key| sysctl(key, namespaces))
}

/// Only what belongs to a namespace of the container may be set.
fn sysctl(key: &str, namespaces: &Namespaces) -> anyhow::Result<()> {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let key = key.replace('/', ".");
    if key.split('.').any(str::is_empty) {
        bail!("sysctl {key:?} is not a name");
    }
    if IPC.contains(&key.as_str()) || key.starts_with("fs.mqueue.") {
        if !namespaces.has(libc::CLONE_NEWIPC) {
            bail!("sysctl {key:?} is not allowed in the hosts ipc namespace");
        }
    } else if key.starts_with("net.") {
        if !namespaces.has(libc::CLONE_NEWNET) {
            bail!("sysctl {key:?} not allowed in host network namespace");
        }
    } else if key == "kernel.domainname" {
        if !namespaces.has(libc::CLONE_NEWUTS) {
            bail!("sysctl {key:?} is not allowed in the hosts uts namespace");
        }
    } else if key == "kernel.hostname" {
        bail!("sysctl {key:?} conflicts with OCI field \"hostname\"");
    } else if !(key.starts_with("user.") && namespaces.has(libc::CLONE_NEWUSER)) {
        bail!("sysctl {key:?} is not in a separate kernel namespace");
    }
    Ok(())
}

/// A process of `create` or `exec`.
pub(crate) fn process(process: &Process) -> anyhow::Result<()> {
    if process.cwd.is_empty() {
        bail!("Cwd property must not be empty");
    }
    if !Path::new(&process.cwd).is_absolute() {
        bail!("Cwd must be an absolute path");
    }
    if process.args.is_empty() {
        bail!("args must not be empty");
    }
    let texts = process.args.iter().chain(&process.env).chain(std::iter::once(&process.cwd));
    if texts.into_iter().any(|t| t.contains('\0')) {
        bail!("args, env and cwd must not contain a zero byte");
    }
    if let Some(entry) = process.env.iter().find(|entry| !entry.contains('=')) {
        bail!("invalid environment variable: {entry:?}");
    }
    if let Some(entry) = process.env.iter().find(|entry| entry.starts_with('=')) {
        bail!("environment variable name can't be empty: {entry:?}");
    }
    if !process.selinux_label.is_empty() && !Path::new("/sys/fs/selinux/enforce").exists() {
        bail!("selinux label is specified in config, but selinux is disabled or not supported");
    }
    for (at, limit) in process.rlimits.iter().enumerate() {
        if process.rlimits[..at].iter().any(|l| l.kind == limit.kind) {
            bail!("rlimit {} is set twice", limit.kind);
        }
        if limit.soft > limit.hard {
            bail!(
                "rlimit {}: the soft limit {} is above the hard limit {}",
                limit.kind,
                limit.soft,
                limit.hard
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal(extra: &str) -> anyhow::Result<()> {
        let text = format!(
            r#"{{"ociVersion":"1.0.2","root":{{"path":"r"}},"process":{{"cwd":"/","args":["x"]}},{extra}}}"#
        );
        let spec: Spec = serde_json::from_str(&text).unwrap();
        super::spec(&spec, &Namespaces::from_spec(&spec.linux.namespaces).unwrap())
    }

    #[test]
    fn what_would_change_the_host_is_refused() {
        const MNT: &str = r#""linux":{"namespaces":[{"type":"mount"}]"#;
        assert!(minimal(&format!("{MNT}}}")).is_ok());
        for bad in [
            r#""linux":null"#.to_owned(),
            format!(r#""hostname":"a",{MNT}}}"#),
            format!(r#"{MNT},"sysctl":{{"net.ipv4.ip_forward":"1"}}}}"#),
            format!(r#"{MNT},"sysctl":{{"kernel.core_pattern":"|x"}}}}"#),
            format!(r#"{MNT},"sysctl":{{"kernel/core_pattern":"|x"}}}}"#),
            format!(r#"{MNT},"uidMappings":[{{"containerID":0,"hostID":0,"size":1}}]}}"#),
        ] {
            assert!(minimal(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_cannot_be_paths() {
        for bad in ["", ".", "..", "a/b", "a b", "ä"] {
            assert!(id(bad).is_err(), "{bad}");
        }
        assert!(id("A-b_c.9+").is_ok());
    }
}
