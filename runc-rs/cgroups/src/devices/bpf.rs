//! Loading and attaching a device program to a v2 cgroup.
#![allow(unsafe_code, reason = "bpf(2) has no safe wrapper among our dependencies")]

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use super::Policy;
use super::program::{Insn, compile};
use crate::error::{Error, Result};

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const PROG_QUERY: libc::c_long = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const F_ALLOW_MULTI: u32 = 2;

#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
}

#[repr(C)]
#[derive(Default)]
struct IdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Loads the policy's program, attaches it, and takes off those that were there before.
pub(crate) fn enforce(dir: &Path, policy: &Policy) -> Result<()> {
    let err = |step| move |source| Error::Bpf { step, path: dir.to_owned(), source };
    let cgroup = File::open(dir).map_err(|e| Error::io("open", dir, e))?;
    let fd = cgroup.as_raw_fd();
    let old = attached(fd).map_err(err("query"))?;
    let program = load(&compile(policy)).map_err(err("load"))?;
    attach(PROG_ATTACH, fd, program.as_raw_fd(), F_ALLOW_MULTI).map_err(err("attach"))?;
    // The new one first: at no moment is the container without a policy.
    old.iter().try_for_each(|p| attach(PROG_DETACH, fd, p.as_raw_fd(), 0)).map_err(err("detach"))
}

fn load(program: &[Insn]) -> io::Result<OwnedFd> {
    let mut attr = LoadAttr {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadAttr::default()
    };
    let fd = bpf(PROG_LOAD, &mut attr)? as RawFd;
    // SAFETY: BPF_PROG_LOAD answered a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attach(command: libc::c_long, cgroup: RawFd, program: RawFd, flags: u32) -> io::Result<()> {
    let mut attr = AttachAttr {
        target_fd: cgroup as u32,
        attach_bpf_fd: program as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: flags,
        ..AttachAttr::default()
    };
    bpf(command, &mut attr).map(drop)
}

/// The device programs attached to this very cgroup.
fn attached(cgroup: RawFd) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; 64];
    let mut attr = QueryAttr {
        target_fd: cgroup as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
        ..QueryAttr::default()
    };
    bpf(PROG_QUERY, &mut attr)?;
    let found = ids.iter().take(attr.prog_cnt as usize);
    found
        .map(|id| {
            let fd = bpf(PROG_GET_FD_BY_ID, &mut IdAttr { prog_id: *id, ..IdAttr::default() })? as RawFd;
            // SAFETY: BPF_PROG_GET_FD_BY_ID answered a new descriptor that nobody else owns.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        })
        .collect()
}

fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: attr is a live, writable struct laid out as the prefix of union bpf_attr that `command` reads;
    // its size is passed, and the pointers in it point to live memory of the lengths given beside them.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
