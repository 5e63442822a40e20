//! Capability sets as the kernel takes them: one bit per capability.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::spec;

/// The five sets of a process.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CapabilitySets {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) ambient: u64,
}

impl CapabilitySets {
    /// Names that neither we nor the kernel know are left out and returned, so that they can be warned of: a
    /// list made for a newer kernel still gives what this one has.
    pub(crate) fn from_spec(caps: &spec::Capabilities) -> (Self, BTreeSet<String>) {
        let mut unknown = BTreeSet::new();
        let mut set = |names: &[String]| {
            names.iter().fold(0u64, |bits, name| match bit(name) {
                Some(bit) => bits | bit,
                None => {
                    unknown.insert(name.clone());
                    bits
                }
            })
        };
        let sets = Self {
            bounding: set(&caps.bounding),
            effective: set(&caps.effective),
            inheritable: set(&caps.inheritable),
            permitted: set(&caps.permitted),
            ambient: set(&caps.ambient),
        };
        (sets, unknown)
    }

    /// What to say of a list with unknown names, in runc's words.
    pub(crate) fn warning(caps: &spec::Capabilities) -> Option<String> {
        let unknown: Vec<String> = Self::from_spec(caps).1.into_iter().collect();
        let list = unknown.join(" ");
        (!unknown.is_empty()).then(|| format!("ignoring unknown or unavailable capabilities: [{list}]"))
    }
}

/// `CAP_CHOWN` (or `chown`, as `exec --cap` also takes) to its bit.
pub(crate) fn bit(name: &str) -> Option<u64> {
    caps::Capability::from_str(&caps::to_canonical(name)).ok().map(|c| c.bitmask())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_bits_and_unknown_ones_are_reported() {
        let names = |n: &[&str]| n.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let spec = spec::Capabilities {
            bounding: names(&["CAP_CHOWN", "CAP_KILL", "CAP_FROM_THE_FUTURE"]),
            ..Default::default()
        };
        let (sets, unknown) = CapabilitySets::from_spec(&spec);
        assert_eq!((sets.bounding, sets.inheritable), (0b10_0001, 0));
        assert_eq!(unknown, BTreeSet::from(["CAP_FROM_THE_FUTURE".to_owned()]));
    }
}
