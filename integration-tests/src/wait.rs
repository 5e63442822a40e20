//! Waiting for something to become true, with a bound that only a hang reaches.

use std::time::{Duration, Instant};

/// Asks until `probe` gives a value.
///
/// # Panics
/// After a minute: `what` never came.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
