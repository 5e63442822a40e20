//! System call filters: a profile of the specification to a program of the kernel's.
//!
//! [`Program::compile`] is pure and may run anywhere; its bytes can be kept by the hash of the profile.
//! [`load`] is one system call and is made in the child, as the last step before exec (or, without
//! no_new_privileges, before capabilities are dropped).

pub(crate) mod arch;
mod compile;
mod emit;
mod load;
mod numbers;
#[cfg(test)]
mod tests;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};

pub(crate) use load::load;

/// `SECCOMP_FILTER_FLAG_*`.
const FLAG_LOG: u64 = 2;
const FLAG_SPEC_ALLOW: u64 = 4;
const FLAG_NEW_LISTENER: u64 = 8;
const FLAG_WAIT_KILLABLE_RECV: u64 = 32;

/// A profile that can't be made into a filter.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SeccompError {
    /// A broken profile.
    #[error("seccomp: {0}")]
    Invalid(String),
    /// More instructions than the kernel takes.
    #[error("seccomp: the filter has {0} instructions, the kernel takes 4096")]
    TooLong(usize),
}

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Instructions, each 8 bytes as the kernel's `struct sock_filter`.
    pub(crate) bytes: Vec<u8>,
    /// For [`load`].
    pub(crate) flags: u64,
}

impl Program {
    /// Compiles for this machine and those of the profile's architectures that can occur on it.
    ///
    /// Names that no kernel we know has are skipped, as libseccomp and runc do. Numbers above the highest
    /// that the profile names answer ENOSYS, unless the default is to let calls through.
    ///
    /// # Errors
    /// The profile contradicts itself or is too long.
    pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Self, SeccompError> {
        Self::compile_for(profile, arch::Arch::native())
    }

    pub(crate) fn compile_for(profile: &LinuxSeccomp, native: arch::Arch) -> Result<Self, SeccompError> {
        let filters = compile::filters(profile, native)?;
        let insns = emit::program(&filters)?;
        let mut flags = match profile.flags() {
            // runc's default: without it every filtered process pays for a mitigation that browsers want.
            None => FLAG_SPEC_ALLOW,
            Some(list) => list.iter().fold(0, |bits, flag| bits | flag_bit(flag)),
        };
        if filters.notifies {
            flags |= FLAG_NEW_LISTENER;
        }
        let bytes = insns.into_iter().flat_map(emit::Insn::to_bytes).collect();
        Ok(Self { bytes, flags })
    }
}

fn flag_bit(flag: &LinuxSeccompFilterFlag) -> u64 {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => FLAG_LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => FLAG_WAIT_KILLABLE_RECV,
        // The loading process has a single thread: nothing to synchronise, and the flag excludes a listener.
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
    }
}
