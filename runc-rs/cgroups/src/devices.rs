//! Which devices may be opened or made: rules to a policy, and its enforcement on v1 and v2.

pub(crate) mod bpf;
mod policy;
pub(crate) mod program;
pub(crate) mod v1;

pub use policy::default_device_rules;
pub(crate) use policy::{Exception, Kind, MKNOD, Policy, READ, WRITE};
