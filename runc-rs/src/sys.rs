//! System calls that no safe wrapper covers. Unsafe code lives only here; each leaf fences its own.

pub(crate) mod clone3;
pub(crate) mod exe_seal;
pub(crate) mod fds;
pub(crate) mod keyring;
pub(crate) mod loopback;
pub(crate) mod sched;
pub(crate) mod signals;
