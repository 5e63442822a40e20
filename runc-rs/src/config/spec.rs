//! The parts of the runtime spec that this runtime reads, tolerant as Go's decoder: `null` is "not there".
//!
//! Own structs instead of `oci_spec::runtime::Spec`: less to allocate and parse at each start, and unknown
//! capability names stay text (they are warned about, not fatal). Resources, device rules and seccomp keep
//! oci-spec's types, which the leaf crates take.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxResources, LinuxSeccomp};
use serde::{Deserialize, Deserializer, Serialize};

fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(default, rename = "ociVersion")]
    pub(crate) version: String,
    pub(crate) process: Option<Process>,
    pub(crate) root: Option<Root>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) hostname: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) domainname: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) mounts: Vec<Mount>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) hooks: Hooks,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) linux: Linux,
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) readonly: bool,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    pub(crate) destination: PathBuf,
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) source: PathBuf,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) options: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) uid_mappings: Vec<IdMapping>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) gid_mappings: Vec<IdMapping>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) terminal: bool,
    pub(crate) console_size: Option<ConsoleSize>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) user: User,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) args: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) env: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) cwd: String,
    pub(crate) capabilities: Option<Capabilities>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) rlimits: Vec<Rlimit>,
    pub(crate) no_new_privileges: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) apparmor_profile: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) selinux_label: String,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) io_priority: Option<IoPriority>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct ConsoleSize {
    pub(crate) height: u16,
    pub(crate) width: u16,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    #[serde(default)]
    pub(crate) uid: u32,
    #[serde(default)]
    pub(crate) gid: u32,
    pub(crate) umask: Option<u32>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) additional_gids: Vec<u32>,
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct Capabilities {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) bounding: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) effective: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) inheritable: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) permitted: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) ambient: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Rlimit {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) hard: u64,
    pub(crate) soft: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Scheduler {
    pub(crate) policy: String,
    #[serde(default)]
    pub(crate) nice: i32,
    #[serde(default)]
    pub(crate) priority: i32,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) flags: Vec<String>,
    #[serde(default)]
    pub(crate) runtime: u64,
    #[serde(default)]
    pub(crate) deadline: u64,
    #[serde(default)]
    pub(crate) period: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct IoPriority {
    pub(crate) class: String,
    #[serde(default)]
    pub(crate) priority: i32,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hooks {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) prestart: Vec<Hook>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) create_runtime: Vec<Hook>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) create_container: Vec<Hook>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) start_container: Vec<Hook>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) poststart: Vec<Hook>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) poststop: Vec<Hook>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Hook {
    pub(crate) path: PathBuf,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub(crate) args: Vec<String>,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub(crate) env: Vec<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<i64>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Linux {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) uid_mappings: Vec<IdMapping>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) gid_mappings: Vec<IdMapping>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) sysctl: BTreeMap<String, String>,
    pub(crate) resources: Option<LinuxResources>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) cgroups_path: PathBuf,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) namespaces: Vec<Namespace>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) devices: Vec<Device>,
    pub(crate) seccomp: Option<LinuxSeccomp>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) rootfs_propagation: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) masked_paths: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) readonly_paths: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) mount_label: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) time_offsets: BTreeMap<String, TimeOffset>,
    pub(crate) personality: Option<Personality>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdMapping {
    #[serde(rename = "containerID")]
    pub(crate) container_id: u32,
    #[serde(rename = "hostID")]
    pub(crate) host_id: u32,
    pub(crate) size: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Namespace {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    pub(crate) path: PathBuf,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) major: i64,
    #[serde(default)]
    pub(crate) minor: i64,
    pub(crate) file_mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct TimeOffset {
    #[serde(default)]
    pub(crate) secs: i64,
    #[serde(default)]
    pub(crate) nanosecs: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Personality {
    pub(crate) domain: String,
}
