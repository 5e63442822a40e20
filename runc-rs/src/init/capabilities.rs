//! Puts the five capability sets in place, around the change of ids.

use rustix::thread::{self, CapabilitySet, CapabilitySets as Kernel};

use crate::config::capabilities::CapabilitySets;
use crate::error::{Context, Step};

fn set(bits: u64) -> CapabilitySet {
    CapabilitySet::from_bits_retain(bits)
}

/// Bits that this kernel knows.
fn supported() -> u64 {
    let mut bits = 0;
    for index in 0..64u32 {
        match thread::capability_is_in_bounding_set(set(1 << index)) {
            Ok(_) => bits |= 1 << index,
            Err(_) => break,
        }
    }
    bits
}

/// Before the ids change: the bounding set needs CAP_SETPCAP.
pub(crate) fn drop_bounding(sets: &CapabilitySets) -> Step<()> {
    for index in 0..64u32 {
        let bit = 1u64 << index;
        if sets.bounding & bit != 0 {
            continue;
        }
        match thread::capability_is_in_bounding_set(set(bit)) {
            Err(_) => break,
            Ok(false) => {}
            Ok(true) => thread::remove_capability_from_bounding_set(set(bit))
                .step(|| format!("drop capability {index} from the bounding set"))?,
        }
    }
    Ok(())
}

/// After the ids changed. Inheritable is exactly what was asked for, never what the caller had
/// (CVE-2022-24769, CVE-2022-29162).
pub(crate) fn apply(sets: &CapabilitySets) -> Step<()> {
    let known = supported();
    let wanted = Kernel {
        effective: set(sets.effective & known),
        permitted: set(sets.permitted & known),
        inheritable: set(sets.inheritable & known),
    };
    thread::set_capabilities(None, wanted).step(|| "unable to apply caps")?;
    // Ambient needs the capability in both permitted and inheritable; what lacks it is left out, as runc does.
    let _ = thread::clear_ambient_capability_set();
    let ambient = sets.ambient & sets.permitted & sets.inheritable & known;
    for index in (0..64u32).filter(|i| ambient & (1 << i) != 0) {
        thread::configure_capability_in_ambient_set(set(1 << index), true)
            .step(|| format!("raise ambient capability {index}"))?;
    }
    Ok(())
}
