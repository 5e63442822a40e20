//! The v1 controllers: making a cgroup and writing limits, in runc's order.

pub(crate) mod blkio;
pub(crate) mod cpu;
pub(crate) mod cpuset;
pub(crate) mod freezer;
pub(crate) mod memory;
pub(crate) mod net;

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::{files, v2};

/// mkdir -p, noting what was made; cpuset cgroups get their parents' cpus and mems on the way.
pub(crate) fn create(dir: &Path, controllers: &[String], made: &mut Vec<PathBuf>) -> Result<()> {
    let cpuset = controllers.iter().any(|c| c == "cpuset");
    match fs::create_dir(dir) {
        Ok(()) => made.push(dir.to_owned()),
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {}
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {
            let parent = dir.parent().ok_or_else(|| Error::io("create", dir, e))?;
            create(parent, controllers, made)?;
            fs::create_dir(dir).map_err(|e| Error::io("create", dir, e))?;
            made.push(dir.to_owned());
        }
        Err(e) => return Err(Error::io("create", dir, e)),
    }
    if cpuset { cpuset::inherit(dir) } else { Ok(()) }
}

/// Writes what is set. A setting whose controller is missing is an error, except where runc lets it pass.
pub(crate) fn apply(cgroup: &Cgroup, resources: &LinuxResources) -> Result<()> {
    if resources.unified().as_ref().is_some_and(|u| !u.is_empty()) {
        return Err(Error::invalid("linux.resources.unified", "can't be used on cgroup v1"));
    }
    let need = |controller: &str, setting: &str| {
        let missing = || Error::NoController { controller: controller.into(), setting: setting.into() };
        cgroup.controller(controller).ok_or_else(missing)
    };
    if let Some(cpu) = resources.cpu() {
        if cpuset::is_set(cpu) {
            cpuset::apply(need("cpuset", "linux.resources.cpu.cpus")?, cpu)?;
        }
        if cpu::is_set(cpu) {
            cpu::apply(need("cpu", "linux.resources.cpu")?, cpu)?;
        }
    }
    if let Some(memory) = resources.memory() {
        memory::apply(|| need("memory", "linux.resources.memory"), memory)?;
    }
    if let Some(limit) = resources.pids().map(|p| p.limit()).filter(|l| *l != 0) {
        let text = crate::resources::limit(limit);
        files::write(need("pids", "linux.resources.pids")?, "pids.max", &text)?;
    }
    if let Some(io) = resources.block_io() {
        blkio::apply(|| need("blkio", "linux.resources.blockIO"), io)?;
    }
    let unified = cgroup.unified();
    let wanted = |list: bool, controller| list && cgroup.controller(controller).is_none();
    let huge = resources.hugepage_limits().as_ref().is_some_and(|l| !l.is_empty());
    let rdma = resources.rdma().as_ref().is_some_and(|l| !l.is_empty());
    if let Some(dir) = unified.filter(|_| wanted(huge, "hugetlb") || wanted(rdma, "rdma")) {
        v2::enable_above(dir)?;
    }
    for huge in resources.hugepage_limits().iter().flatten() {
        match (cgroup.controller("hugetlb"), unified) {
            (Some(dir), _) => {
                let text = huge.limit().to_string();
                files::write(dir, &format!("hugetlb.{}.limit_in_bytes", huge.page_size()), &text)?;
                let reserved = format!("hugetlb.{}.rsvd.limit_in_bytes", huge.page_size());
                if dir.join(&reserved).exists() {
                    files::write(dir, &reserved, &text)?;
                }
            }
            (None, Some(dir)) => v2::write_hugetlb(dir, huge)?,
            (None, None) => drop(need("hugetlb", "linux.resources.hugepageLimits")?),
        }
    }
    for (device, rdma) in resources.rdma().iter().flatten() {
        let dir = cgroup.controller("rdma").or(unified);
        v2::write_rdma(dir.map_or_else(|| need("rdma", "linux.resources.rdma"), Ok)?, device, rdma)?;
    }
    match resources.network() {
        Some(network) => net::apply(need, network),
        None => Ok(()),
    }
}
