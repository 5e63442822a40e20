//! Cgroup v1, hybrid and v2: where a container's processes live and what they may use.
//!
//! [`Host`] says what is mounted, a [`Placement`] names the directories, [`Cgroup`] makes, fills, watches and
//! removes them. A `Cgroup` is small and serialises: a runtime keeps it in its state file, and whoever only
//! knows a process gets it by [`Cgroup::of_pid`].
//!
//! ```no_run
//! # use cgroups::*;
//! # fn main() -> Result<()> {
//! # let resources = oci_spec::runtime::LinuxResources::default();
//! let host = Host::detect()?;
//! let request = Request { cgroups_path: None, id: "box", resources: Some(&resources) };
//! let cgroup = Cgroupfs.place(&host, &request)?;
//! cgroup.create()?;
//! cgroup.apply(&resources)?;
//! cgroup.apply_devices(&default_device_rules())?;
//! let join = cgroup.join()?; // clone3 with join.into; in the child: write "0" to each of join.tasks
//! # drop(join);
//! cgroup.kill_all()?;
//! cgroup.remove()
//! # }
//! ```

mod cgroup;
mod detect;
mod devices;
mod error;
mod files;
mod oom;
mod placement;
mod resources;
mod stats;
mod systemd;
mod v1;
mod v2;

pub use cgroup::{Cgroup, Join};
pub use detect::{Hierarchy, Host, Layout};
pub use devices::default_device_rules;
pub use error::{Error, Result};
pub use oom::{OomEvent, OomWatch};
pub use placement::{Cgroupfs, Placement, Request};
pub use stats::Stats;
pub use stats::v1::{BlkioEntry, HugetlbV1, MemoryUsage, StatsV1, Throttle};
pub use stats::v2::{HugetlbV2, IoEntry, MemoryEvents, StatsV2};
pub use systemd::{Settings, Systemd};
