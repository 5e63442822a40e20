//! v1's values in v2's units, as runc converts them. Pure.

use crate::error::{Error, Result};

/// `cpu.shares` (2–262144) to `cpu.weight` (1–10000), so that the default 1024 becomes the default 100: the
/// quadratic curve in log2 that runc ≥ 1.3.2 and crun ≥ 1.23 use. 0 means unset.
pub(crate) fn shares_to_weight(shares: u64) -> u64 {
    match shares {
        0 => 0,
        1..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

/// blkio weight (10–1000) to `io.weight` (1–10000). 0 means unset.
pub(crate) fn blkio_to_io_weight(weight: u16) -> u64 {
    if weight == 0 { 0 } else { 1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990 }
}

/// v1's memory+swap to v2's swap alone. `None`: leave as it is; -1: no limit.
pub(crate) fn swap_alone(memory_and_swap: Option<i64>, memory: Option<i64>) -> Result<Option<i64>> {
    let bad = |reason: &str| Err(Error::invalid("linux.resources.memory.swap", reason));
    let memory = memory.unwrap_or(0);
    match memory_and_swap.unwrap_or(0) {
        0 if memory == -1 => Ok(Some(-1)),
        0 => Ok(None),
        -1 => Ok(Some(-1)),
        _ if memory == 0 || memory == -1 => bad("unable to set swap limit without memory limit"),
        swap if swap < 0 => bad("invalid swap value"),
        _ if memory < 0 => bad("invalid memory value"),
        swap if swap < memory => bad("memory+swap limit should be >= memory limit"),
        swap => Ok(Some(swap - memory)),
    }
}

/// A limit as v2 writes it: -1 is `max`.
pub(crate) fn limit(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_their_ends_and_their_default() {
        let pairs = [(0, 0), (1, 1), (2, 1), (1024, 100), (262_144, 10_000), (500_000, 10_000)];
        for (shares, weight) in pairs {
            assert_eq!(shares_to_weight(shares), weight, "{shares}");
        }
    }

    #[test]
    fn io_weights_span_the_range() {
        assert_eq!((blkio_to_io_weight(10), blkio_to_io_weight(1000), blkio_to_io_weight(0)), (1, 10_000, 0));
    }

    #[test]
    fn swap_is_what_is_left_after_memory() {
        assert_eq!(swap_alone(Some(300), Some(100)).unwrap(), Some(200));
        assert_eq!(swap_alone(Some(100), Some(100)).unwrap(), Some(0));
        assert_eq!(swap_alone(Some(-1), Some(100)).unwrap(), Some(-1));
        assert_eq!(swap_alone(None, Some(-1)).unwrap(), Some(-1));
        assert_eq!(swap_alone(None, Some(100)).unwrap(), None);
        assert!(swap_alone(Some(50), Some(100)).is_err());
        assert!(swap_alone(Some(50), None).is_err());
    }
}
