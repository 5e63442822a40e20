//! A list of rules, later ones over earlier ones, as one default and its exceptions: what v1 stores, and
//! what makes the shortest v2 program.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};

use crate::error::{Error, Result};

pub(crate) const MKNOD: u8 = 1;
pub(crate) const READ: u8 = 2;
pub(crate) const WRITE: u8 = 4;

/// Character or block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Block,
    Char,
}

/// Devices that are treated unlike the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) kind: Kind,
    /// None: any.
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    /// Of `MKNOD`, `READ`, `WRITE`.
    pub(crate) access: u8,
}

/// What may be done with which device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) default_allow: bool,
    pub(crate) exceptions: Vec<Exception>,
}

impl Policy {
    /// Later rules win. Everything is denied before the first.
    pub(crate) fn from_rules(rules: &[LinuxDeviceCgroup]) -> Result<Self> {
        let mut policy = Self::default();
        for rule in rules {
            policy.add(rule)?;
        }
        Ok(policy)
    }

    fn add(&mut self, rule: &LinuxDeviceCgroup) -> Result<()> {
        let access = access_bits(rule.access().as_deref())?;
        let kind = match rule.typ() {
            None | Some(LinuxDeviceType::A) => {
                self.default_allow = rule.allow();
                self.exceptions.clear();
                return Ok(());
            }
            Some(LinuxDeviceType::B) => Kind::Block,
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Kind::Char,
            Some(other) => return Err(bad(format!("device type {other:?} has no cgroup rules"))),
        };
        let rule_of = Exception { kind, major: number(rule.major())?, minor: number(rule.minor())?, access };
        if rule.allow() == self.default_allow { self.remove(rule_of) } else { self.insert(rule_of) }
    }

    fn insert(&mut self, new: Exception) -> Result<()> {
        let same = |e: &Exception| e.kind == new.kind && e.major == new.major && e.minor == new.minor;
        match self.exceptions.iter_mut().find(|e| same(e)) {
            Some(old) => old.access |= new.access,
            None => self.exceptions.push(new),
        }
        Ok(())
    }

    /// Takes back `gone` from the exceptions it covers. One that covers *it* can't be expressed.
    fn remove(&mut self, gone: Exception) -> Result<()> {
        let within = |outer: Option<u32>, inner: Option<u32>| outer.is_none() || outer == inner;
        for old in &mut self.exceptions {
            if old.kind != gone.kind || old.access & gone.access == 0 {
                continue;
            }
            let covered = within(gone.major, old.major) && within(gone.minor, old.minor);
            let covers = within(old.major, gone.major) && within(old.minor, gone.minor);
            if covered {
                old.access &= !gone.access;
            } else if covers {
                return Err(bad(format!("a rule for {gone:?} contradicts the wider one before it, {old:?}")));
            }
        }
        self.exceptions.retain(|e| e.access != 0);
        Ok(())
    }
}

fn bad(reason: String) -> Error {
    Error::invalid("linux.resources.devices", reason)
}

fn access_bits(text: Option<&str>) -> Result<u8> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(MKNOD | READ | WRITE) };
    text.chars().try_fold(0, |bits, c| match c {
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        'm' => Ok(bits | MKNOD),
        other => Err(bad(format!("access {other:?} is none of r, w, m"))),
    })
}

fn number(value: Option<i64>) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(n) => u32::try_from(n).map(Some).map_err(|_| bad(format!("device number {n} is out of range"))),
    }
}

/// What every container may do besides its own rules, as in runc: make any node, use the pseudo devices
/// and terminals.
pub fn default_device_rules() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{B, C};
    let rule = |kind, major: i64, minor: i64, access: &str| {
        let base = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).major(major).minor(minor);
        base.access(access).build()
    };
    let list = [
        rule(C, -1, -1, "m"),
        rule(B, -1, -1, "m"),
        rule(C, 1, 3, "rwm"),    // null
        rule(C, 1, 8, "rwm"),    // random
        rule(C, 1, 7, "rwm"),    // full
        rule(C, 5, 0, "rwm"),    // tty
        rule(C, 1, 5, "rwm"),    // zero
        rule(C, 1, 9, "rwm"),    // urandom
        rule(C, 136, -1, "rwm"), // pts
        rule(C, 5, 2, "rwm"),    // ptmx
    ];
    list.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: &str) -> Vec<LinuxDeviceCgroup> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn without_rules_everything_is_denied() {
        assert_eq!(Policy::from_rules(&[]).unwrap(), Policy { default_allow: false, exceptions: vec![] });
    }

    #[test]
    fn a_rule_for_all_resets_what_came_before() {
        let list = rules(r#"[{"allow":true,"type":"c","major":1,"minor":3},{"allow":true,"access":"rwm"}]"#);
        assert_eq!(Policy::from_rules(&list).unwrap(), Policy { default_allow: true, exceptions: vec![] });
    }

    #[test]
    fn later_rules_take_back_earlier_ones() {
        let list = rules(
            r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"},
                {"allow":false,"type":"c","major":1,"access":"w"}]"#,
        );
        let policy = Policy::from_rules(&list).unwrap();
        assert_eq!(policy.exceptions[0].access, READ);
    }

    #[test]
    fn a_hole_in_a_wider_exception_is_refused_not_ignored() {
        let list = rules(
            r#"[{"allow":true,"type":"c","access":"rwm"},{"allow":false,"type":"c","major":1,"minor":3}]"#,
        );
        assert!(Policy::from_rules(&list).is_err());
    }

    #[test]
    fn the_defaults_are_complete() {
        assert_eq!(default_device_rules().len(), 10);
    }
}
