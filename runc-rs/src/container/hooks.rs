//! Hooks whose failure changes nothing: the specification wants a warning, and the others run.

use super::state::State;
use crate::config::spec::Hook;
use crate::error::report;
use crate::init::hooks::run_all;
use crate::log::Log;

/// Runs all of one kind, each told the container's state with that status.
pub(super) fn run_each(kind: &str, hooks: &[Hook], state: &State, status: &str, log: &Log) {
    for (at, hook) in hooks.iter().enumerate() {
        if let Err(error) = run_all(kind, std::slice::from_ref(hook), &state.oci(status)) {
            log.warn(&format!("hook #{at} of its kind: {}", report(&error.into())));
        }
    }
}
