//! Counters of a cgroup, in the shape of containerd's metrics messages (same names, same units).

pub(crate) mod v1;
pub(crate) mod v2;

/// Counters, by the version of the hierarchy they come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Stats {
    /// `io.containerd.cgroups.v1.Metrics`.
    V1(Box<v1::StatsV1>),
    /// `io.containerd.cgroups.v2.Metrics`.
    V2(Box<v2::StatsV2>),
}
