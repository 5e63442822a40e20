//! Waiting for an end or a removal.

use std::sync::Arc;

use super::{Container, Containers};
use crate::error::{Error, Result};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// That it doesn't run: true at once for created and ended ones.
    NotRunning,
    /// The next end.
    NextExit,
    /// That it is gone.
    Removed,
}

impl Condition {
    /// Reads the parameter.
    ///
    /// # Errors
    /// 400 for another word.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        match text.unwrap_or_default() {
            "" | "not-running" => Ok(Self::NotRunning),
            "next-exit" => Ok(Self::NextExit),
            "removed" => Ok(Self::Removed),
            other => Err(Error::invalid(format!("invalid condition: \"{other}\""))),
        }
    }
}

impl Containers {
    /// Waits; the subscription counts from the call on, not from the first poll. Answers the exit code.
    pub fn wait(
        &self,
        container: &Arc<Container>,
        condition: Condition,
    ) -> impl Future<Output = i64> + Send + 'static {
        let mut pulse = container.watch();
        let exits = pulse.borrow_and_update().exits;
        async move {
            let reached = pulse
                .wait_for(|pulse| match condition {
                    Condition::NotRunning => {
                        pulse.removed
                            || (!pulse.state.status.has_process()
                                && pulse.state.status != super::state::Status::Restarting)
                    }
                    Condition::NextExit => pulse.exits > exits || pulse.removed,
                    Condition::Removed => pulse.removed,
                })
                .await;
            reached.map_or(0, |pulse| if pulse.exits > 0 { pulse.last_exit } else { pulse.state.exit_code })
        }
    }
}
