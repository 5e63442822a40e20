//! Removing all containers that don't run.

use super::Containers;
use super::state::Status;
use crate::error::{Error, Result};
use crate::filters::Filters;

impl Containers {
    /// Removes stopped containers; answers their ids and the bytes freed.
    ///
    /// # Errors
    /// A filter is wrong.
    pub async fn prune(&self, filters: &Filters) -> Result<(Vec<String>, i64)> {
        filters.only(&["until", "label", "label!"])?;
        let until = match filters.get("until") {
            [] => None,
            [text] => Some(cutoff(text)?),
            _ => return Err(Error::invalid("more than one until filter specified")),
        };
        let (mut removed, mut freed) = (Vec::new(), 0);
        for container in self.registry.all() {
            let record = container.record();
            let stopped = matches!(record.state.status, Status::Created | Status::Exited | Status::Dead);
            if !stopped
                || record.intent.is_some()
                || !filters.labels(&record.labels())
                || until.is_some_and(|until| record.created > until)
            {
                continue;
            }
            let size = self
                .client
                .snapshot_usage(&record.snapshotter, &record.id)
                .await
                .map_or(0, |usage| usage.size);
            match self.remove(&container, false, false).await {
                Ok(()) => {
                    removed.push(container.id.clone());
                    freed += size;
                }
                Err(error) => {
                    tracing::warn!(container = container.id, error = error.full_text(), "not pruned")
                }
            }
        }
        self.events.publish("container", "prune", "", [("reclaimed".to_owned(), freed.to_string())].into());
        Ok((removed, freed))
    }
}

/// A time, or a duration (`10m`, `1h30m`) before now.
fn cutoff(text: &str) -> Result<i64> {
    if let Some(duration) = duration(text) {
        return Ok(crate::timestamp::now() - duration);
    }
    crate::timestamp::parse(text)
        .map_err(|error| Error::invalid(format!("invalid filter 'until={text}': {error}")))
}

fn duration(text: &str) -> Option<i64> {
    let (mut total, mut rest) = (0i64, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0)?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let nanos = match &rest[..unit] {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(nanos)?)?;
        rest = &rest[unit..];
    }
    (total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_other_text_is_not() {
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("10s"), Some(10_000_000_000));
        assert_eq!(duration("2026-01-01"), None);
        assert_eq!(duration(""), None);
    }
}
