//! Restart policies: who is started again after its end, and when.

use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::RestartPolicyNameEnum;

use super::finish::Ended;
use super::record::Record;
use super::state::{Change, Status};
use super::{Container, Containers};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A run of at least so long sets the delay back, in nanoseconds.
const LONG_RUN: i64 = 10_000_000_000;

/// Says whether the policy wants another run after one that ended with `exit_code`.
pub(super) fn wants_restart(record: &Record, exit_code: i64, at_daemon_start: bool) -> bool {
    let policy = record.host_config.restart_policy.as_ref();
    match policy.and_then(|policy| policy.name) {
        Some(RestartPolicyNameEnum::ALWAYS) => at_daemon_start || !record.manually_stopped,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => !record.manually_stopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => {
            let most = policy.and_then(|policy| policy.maximum_retry_count).unwrap_or_default();
            exit_code != 0 && !record.manually_stopped && (most == 0 || record.restart_count < most)
        }
        _ => false,
    }
}

fn delay(count: i64) -> Duration {
    FIRST_DELAY.saturating_mul(1u32 << count.clamp(0, 20)).min(LONGEST_DELAY)
}

impl Containers {
    /// How long to wait before the next run; none if there is to be none.
    pub(super) fn restart_delay(&self, container: &Container, ended: Ended) -> Option<Duration> {
        container.read(|record| {
            if !wants_restart(record, ended.exit_code, false) {
                return None;
            }
            let run = ended.at - record.state.started_at.unwrap_or(ended.at);
            Some(if run >= LONG_RUN { FIRST_DELAY } else { delay(record.restart_count) })
        })
    }

    /// Starts the container again after a while, unless somebody has decided otherwise by then.
    pub(super) fn restart_later(&self, container: &Arc<Container>, delay: Duration) {
        let (containers, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            let mut pulse = container.watch();
            let changed = pulse.wait_for(|pulse| pulse.state.status != Status::Restarting || pulse.removed);
            if tokio::time::timeout(delay, changed).await.is_ok() {
                return;
            }
            let _operation = container.operation.lock().await;
            if container.state().status != Status::Restarting {
                return;
            }
            let counted = container.update(|record| {
                record.restart_count += 1;
                Ok(())
            });
            if let Err(error) = counted {
                tracing::warn!(
                    container = container.id,
                    error = error.full_text(),
                    "a restart isn't counted"
                );
            }
            if let Err(error) = containers.start_locked(&container).await {
                tracing::warn!(container = container.id, error = error.full_text(), "a restart failed");
            }
        });
    }

    /// A client has stopped the container: the next try is given up.
    pub(super) fn cancel_restart(&self, container: &Container) -> crate::error::Result<bool> {
        if container.state().status != Status::Restarting {
            return Ok(false);
        }
        container.apply(Change::RestartCancelled)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{HostConfig, RestartPolicy};

    use super::*;

    fn record(name: RestartPolicyNameEnum, most: i64) -> Record {
        let policy = RestartPolicy { name: Some(name), maximum_retry_count: Some(most) };
        Record {
            host_config: HostConfig { restart_policy: Some(policy), ..HostConfig::default() },
            ..Record::default()
        }
    }

    #[test]
    fn policies_decide_as_docker_does() {
        assert!(!wants_restart(&record(RestartPolicyNameEnum::NO, 0), 1, false));
        assert!(wants_restart(&record(RestartPolicyNameEnum::ALWAYS, 0), 0, false));
        let mut failing = record(RestartPolicyNameEnum::ON_FAILURE, 2);
        assert!(wants_restart(&failing, 1, false) && !wants_restart(&failing, 0, false));
        failing.restart_count = 2;
        assert!(!wants_restart(&failing, 1, false), "both tries are used up");
    }

    #[test]
    fn a_stopped_container_stays_down_and_always_comes_back_with_the_daemon() {
        let stopped = |name| Record { manually_stopped: true, ..record(name, 0) };
        assert!(!wants_restart(&stopped(RestartPolicyNameEnum::ALWAYS), 0, false));
        assert!(wants_restart(&stopped(RestartPolicyNameEnum::ALWAYS), 0, true));
        assert!(!wants_restart(&stopped(RestartPolicyNameEnum::UNLESS_STOPPED), 0, true));
    }

    #[test]
    fn delays_double_up_to_a_minute() {
        assert_eq!(delay(0), Duration::from_millis(100));
        assert_eq!(delay(3), Duration::from_millis(800));
        assert_eq!(delay(40), Duration::from_secs(60));
    }
}
