//! Architectures: which can occur on this machine, and what their calls are called.

use oci_spec::runtime::Arch as SpecArch;

use super::numbers::NUMBERS;

/// An architecture whose numbers we know. The order is that of the columns in [`NUMBERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
    X86,
    /// Shares x86_64's audit value; its numbers carry [`X32_BIT`].
    X32,
    Aarch64,
    Arm,
    Riscv64,
}

/// Marks a call of the x32 ABI.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// What this program was built for.
    pub(crate) fn native() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else if cfg!(target_arch = "riscv64") {
            Self::Riscv64
        } else if cfg!(target_arch = "arm") {
            Self::Arm
        } else {
            Self::X86_64
        }
    }

    /// `AUDIT_ARCH_*`, what the kernel puts into `seccomp_data.arch`.
    pub(crate) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
        }
    }

    /// Whether arguments have only 32 bits.
    pub(crate) fn narrow(self) -> bool {
        matches!(self, Self::X86 | Self::Arm)
    }

    /// Which of the profile's architectures a process on `native` can use. The others change nothing.
    pub(crate) fn from_spec(spec: SpecArch, native: Self) -> Option<Self> {
        let arch = match spec {
            SpecArch::ScmpArchNative => native,
            SpecArch::ScmpArchX86_64 => Self::X86_64,
            SpecArch::ScmpArchX86 => Self::X86,
            SpecArch::ScmpArchX32 => Self::X32,
            SpecArch::ScmpArchAarch64 => Self::Aarch64,
            SpecArch::ScmpArchArm => Self::Arm,
            SpecArch::ScmpArchRiscv64 => Self::Riscv64,
            _ => return None,
        };
        let possible: &[Self] = match native {
            Self::X86_64 | Self::X32 => &[Self::X86_64, Self::X86, Self::X32],
            Self::Aarch64 => &[Self::Aarch64, Self::Arm],
            Self::X86 => &[Self::X86],
            Self::Arm => &[Self::Arm],
            Self::Riscv64 => &[Self::Riscv64],
        };
        possible.contains(&arch).then_some(arch)
    }

    /// The call's number here, without x32's bit.
    pub(crate) fn number(self, name: &str) -> Option<u32> {
        let row = NUMBERS.binary_search_by(|(n, _)| (*n).cmp(name)).ok()?;
        u32::try_from(NUMBERS[row].1[self as usize]).ok()
    }

    /// i386 packs some calls into one that tells them apart by its first argument: (number of the packed
    /// call, that argument).
    pub(crate) fn packed(self, name: &str) -> Option<(u32, u64)> {
        if self != Self::X86 {
            return None;
        }
        let socket = [
            "socket",
            "bind",
            "connect",
            "listen",
            "accept",
            "getsockname",
            "getpeername",
            "socketpair",
            "send",
            "recv",
            "sendto",
            "recvfrom",
            "shutdown",
            "setsockopt",
            "getsockopt",
            "sendmsg",
            "recvmsg",
            "accept4",
            "recvmmsg",
            "sendmmsg",
        ];
        if let Some(at) = socket.iter().position(|n| *n == name) {
            return Some((self.number("socketcall")?, at as u64 + 1));
        }
        let ipc = [
            ("semop", 1),
            ("semget", 2),
            ("semctl", 3),
            ("semtimedop", 4),
            ("msgsnd", 11),
            ("msgrcv", 12),
            ("msgget", 13),
            ("msgctl", 14),
            ("shmat", 21),
            ("shmdt", 22),
            ("shmget", 23),
            ("shmctl", 24),
        ];
        let (_, value) = ipc.iter().find(|(n, _)| *n == name)?;
        Some((self.number("ipc")?, *value))
    }
}
