//! The v2 controllers: enabling them on the way down and writing limits.

pub(crate) mod cpu;
pub(crate) mod freezer;
pub(crate) mod io;
pub(crate) mod memory;

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxHugepageLimit, LinuxRdma, LinuxResources};

use crate::error::{Error, Result};
use crate::files;

/// mkdir -p, noting what was made; each parent passes on every controller it has.
pub(crate) fn create(dir: &Path, made: &mut Vec<PathBuf>) -> Result<()> {
    if !is_cgroup(dir.parent().unwrap_or(dir)) && !dir.is_dir() {
        let parent = dir.parent().ok_or(Error::NoCgroups)?;
        create(parent, made)?;
    }
    if let Some(parent) = dir.parent().filter(|p| is_cgroup(p)) {
        enable_all(parent)?;
    }
    create_plain(dir, made)
}

/// The same without a look at controllers.
pub(crate) fn create_plain(dir: &Path, made: &mut Vec<PathBuf>) -> Result<()> {
    let mut answer = fs::create_dir(dir);
    if let (Err(e), Some(parent)) = (&answer, dir.parent())
        && e.raw_os_error() == Some(libc::ENOENT)
    {
        create_plain(parent, made)?;
        answer = fs::create_dir(dir);
    }
    match answer {
        Ok(()) => made.push(dir.to_owned()),
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {}
        Err(e) => return Err(Error::io("create", dir, e)),
    }
    Ok(())
}

/// Gives a cgroup that exists the controllers of all above it.
pub(crate) fn enable_above(dir: &Path) -> Result<()> {
    let mut above: Vec<&Path> = dir.ancestors().skip(1).take_while(|p| is_cgroup(p)).collect();
    above.reverse();
    above.into_iter().try_for_each(enable_all)
}

fn is_cgroup(dir: &Path) -> bool {
    dir.join("cgroup.controllers").exists()
}

/// Passes on to the children whatever this cgroup has. What can't be passed on (a cgroup with processes, a
/// controller in use by v1) is missed only by a setting that needs it, which then says so.
fn enable_all(dir: &Path) -> Result<()> {
    let have = files::read(dir, "cgroup.controllers")?;
    let on = files::read(dir, "cgroup.subtree_control")?;
    let missing: Vec<String> = have
        .split_whitespace()
        .filter(|c| !on.split_whitespace().any(|o| o == *c))
        .map(|c| format!("+{c}"))
        .collect();
    if !missing.is_empty() && files::write(dir, "cgroup.subtree_control", &missing.join(" ")).is_err() {
        for one in &missing {
            let _ = files::write(dir, "cgroup.subtree_control", one);
        }
    }
    Ok(())
}

/// Writes `value`; a missing file means the controller is not there, which is said by name.
pub(crate) fn write_setting(dir: &Path, file: &str, value: &str, setting: &str) -> Result<()> {
    files::write(dir, file, value).map_err(|e| match e.errno() {
        // cgroupfs answers a creating open with EPERM, a plain one with ENOENT.
        Some(libc::ENOENT | libc::EPERM) if !dir.join(file).exists() => Error::NoController {
            controller: file.split('.').next().unwrap_or(file).to_owned(),
            setting: setting.to_owned(),
        },
        _ => e,
    })
}

pub(crate) fn apply(dir: &Path, resources: &LinuxResources) -> Result<()> {
    if let Some(limit) = resources.pids().map(|p| p.limit()).filter(|l| *l != 0) {
        let text = crate::resources::limit(limit);
        write_setting(dir, "pids.max", &text, "linux.resources.pids")?;
    }
    if let Some(memory) = resources.memory() {
        memory::apply(dir, memory)?;
    }
    if let Some(block_io) = resources.block_io() {
        io::apply(dir, block_io)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu::apply(dir, cpu)?;
    }
    for huge in resources.hugepage_limits().iter().flatten() {
        write_hugetlb(dir, huge)?;
    }
    for (device, rdma) in resources.rdma().iter().flatten() {
        write_rdma(dir, device, rdma)?;
    }
    // Last, so that an explicit key wins over a converted one.
    for (key, value) in resources.unified().iter().flatten() {
        if key.contains('/') || !key.contains('.') {
            return Err(Error::invalid(
                "linux.resources.unified",
                format!("{key:?} must be a file name, controller.parameter"),
            ));
        }
        write_setting(dir, key, value, &format!("linux.resources.unified {key:?}"))?;
    }
    Ok(())
}

pub(crate) fn write_hugetlb(dir: &Path, huge: &LinuxHugepageLimit) -> Result<()> {
    let (size, text) = (huge.page_size(), crate::resources::limit(huge.limit()));
    write_setting(dir, &format!("hugetlb.{size}.max"), &text, "linux.resources.hugepageLimits")?;
    let reserved = format!("hugetlb.{size}.rsvd.max");
    if dir.join(&reserved).exists() { files::write(dir, &reserved, &text) } else { Ok(()) }
}

pub(crate) fn write_rdma(dir: &Path, device: &str, rdma: &LinuxRdma) -> Result<()> {
    let mut line = device.to_owned();
    if let Some(handles) = rdma.hca_handles() {
        line.push_str(&format!(" hca_handle={handles}"));
    }
    if let Some(objects) = rdma.hca_objects() {
        line.push_str(&format!(" hca_object={objects}"));
    }
    write_setting(dir, "rdma.max", &line, "linux.resources.rdma")
}
