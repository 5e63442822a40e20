//! The rows of `ps`: filters, order, words.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Value, json};

use super::record::Record;
use super::state::Status;
use super::{Container, Containers};
use crate::error::{Error, Result};
use crate::filters::Filters;

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Those that don't run, too.
    pub all: bool,
    /// The newest so many, running or not.
    pub limit: Option<usize>,
    /// With the sizes of their file systems.
    pub size: bool,
    /// See [`Filters`].
    pub filters: Filters,
}

const KNOWN: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

impl Containers {
    /// The rows, newest first.
    ///
    /// # Errors
    /// 400 for a bad filter, 404 for an unknown container in `before` and `since`.
    pub async fn list(&self, request: &ListRequest) -> Result<Vec<Value>> {
        let filters = &request.filters;
        filters.only(KNOWN)?;
        let select = Selection::new(self, filters).await?;
        let all = request.all || request.limit.is_some() || filters.has("status");
        let mut found: Vec<(Arc<Container>, Record)> = self
            .registry
            .all()
            .into_iter()
            .map(|container| (container.clone(), container.record()))
            .collect();
        found.sort_by(|(_, a), (_, b)| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        found.retain(|(_, record)| (all || shown_running(record)) && select.takes(record));
        if let Some(limit) = request.limit {
            found.truncate(limit);
        }
        let mut rows = Vec::with_capacity(found.len());
        let mut images = HashMap::new();
        for (_, record) in found {
            let mut row = self.row(&record);
            let name = &record.image.name;
            if !images.contains_key(name) {
                images.insert(name.clone(), super::image::id_of(&self.client, name).await);
            }
            if images.get(name).is_none_or(|id| id.as_ref() != Some(&record.image.id)) {
                // The name is gone or leads to another image now.
                row["Image"] = record.image.id.as_str().into();
            }
            if request.size {
                let size = self
                    .client
                    .snapshot_usage(&record.snapshotter, &record.id)
                    .await
                    .map_or(0, |usage| usage.size);
                row["SizeRw"] = size.into();
                row["SizeRootFs"] = self.root_size(&record).await.saturating_add(size).into();
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// What all layers of a container's image take.
    pub(super) async fn root_size(&self, record: &Record) -> i64 {
        let (mut total, mut key) = (0i64, record.image.chain_id.clone());
        while !key.is_empty() {
            let Ok(layer) = self.client.snapshot(&record.snapshotter, &key).await else { break };
            let size = self.client.layer_size(&record.snapshotter, &layer).await.unwrap_or(0);
            total = total.saturating_add(size);
            key = layer.parent;
        }
        total
    }

    fn row(&self, record: &Record) -> Value {
        let quoted = |arg: &String| if arg.contains(' ') { format!("'{arg}'") } else { arg.clone() };
        let command = std::iter::once(record.path.clone()).chain(record.args.iter().map(quoted));
        let command = command.collect::<Vec<_>>().join(" ");
        json!({
            "Id": record.id,
            "Names": [format!("/{}", record.name)],
            "Image": record.image.name,
            "ImageID": record.image.id,
            "Command": command,
            "Created": record.created / 1_000_000_000,
            "Ports": ports(&self.networks.sandbox(&record.id).map(|sandbox| sandbox.ports).unwrap_or_default()),
            "Labels": record.labels(),
            "State": record.state.status.as_str(),
            "Status": words(record, crate::timestamp::now()),
            "HostConfig": { "NetworkMode": record.network_mode() },
            "NetworkSettings": { "Networks": self.network_entries(record) },
            "Mounts": super::inspect::mounts(record),
        })
    }
}

fn shown_running(record: &Record) -> bool {
    record.state.status.has_process() || record.state.status == Status::Restarting
}

/// The filters, checked.
struct Selection<'a> {
    filters: &'a Filters,
    names: Vec<(String, Option<Regex>)>,
    before: Option<i64>,
    since: Option<i64>,
    exited: Vec<i64>,
    ancestors: Option<Vec<(String, String)>>,
}

impl<'a> Selection<'a> {
    async fn new(containers: &Containers, filters: &'a Filters) -> Result<Self> {
        for status in filters.get("status") {
            if !["created", "running", "paused", "restarting", "removing", "exited", "dead"]
                .contains(&status.as_str())
            {
                return Err(Error::invalid(format!(
                    "invalid filter 'status={status}': invalid value for state ({status}): must be one of created, running, paused, restarting, removing, exited, dead"
                )));
            }
        }
        let exited = filters
            .get("exited")
            .iter()
            .map(|code| code.parse().map_err(|_| Error::invalid(format!("invalid filter 'exited={code}'"))))
            .collect::<Result<_>>()?;
        let created = |key: &str| {
            filters
                .get(key)
                .first()
                .map(|name| {
                    containers.registry.find(name).map(|container| container.read(|record| record.created))
                })
                .transpose()
        };
        let mut ancestors = None;
        if filters.has("ancestor") {
            let mut images = Vec::new();
            for name in filters.get("ancestor") {
                if let Ok(image) = super::image::resolve(&containers.client, name).await {
                    images.push((image.reference.id, image.reference.chain_id));
                }
            }
            ancestors = Some(images);
        }
        let names = filters.get("name").iter().map(|name| (name.clone(), Regex::new(name).ok())).collect();
        Ok(Self { filters, names, before: created("before")?, since: created("since")?, exited, ancestors })
    }

    fn takes(&self, record: &Record) -> bool {
        let filters = self.filters;
        let slashed = format!("/{}", record.name);
        let named = |(text, regex): &(String, Option<Regex>)| {
            slashed.contains(text.as_str())
                || regex
                    .as_ref()
                    .is_some_and(|regex| regex.is_match(&record.name) || regex.is_match(&slashed))
        };
        let networks = || super::networking::endpoints(record).unwrap_or_default();
        filters.any("id", |id| record.id.starts_with(id.as_str()))
            && (self.names.is_empty() || self.names.iter().any(named))
            && filters.labels(&record.labels())
            && filters.any("status", |status| record.state.status.as_str() == status)
            && (self.exited.is_empty()
                || (record.state.status == Status::Exited && self.exited.contains(&record.state.exit_code)))
            && self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
            && self
                .ancestors
                .as_ref()
                .is_none_or(|images| images.iter().any(|(id, _)| *id == record.image.id))
            && filters.any("volume", |volume| {
                record.mounts.iter().any(|mount| {
                    mount.volume.as_ref() == Some(volume)
                        || mount.destination == *volume
                        || mount.source == *volume
                })
            })
            && filters.any("network", |network| {
                networks().iter().any(|(name, settings)| {
                    name == network || settings.network_id.starts_with(network.as_str())
                })
            })
            && filters.any("expose", |port| {
                record
                    .config
                    .exposed_ports
                    .iter()
                    .flatten()
                    .any(|exposed| exposed.split('/').next() == port.split('/').next())
            })
            && filters.any("publish", |port| {
                record
                    .host_config
                    .port_bindings
                    .iter()
                    .flatten()
                    .any(|(published, _)| published.split('/').next() == port.split('/').next())
            })
            && filters.any("health", |health| health == "none")
            && filters.any("is-task", |value| value != "true")
    }
}

fn ports(map: &crate::networks::PortMap) -> Vec<Value> {
    let mut rows = Vec::new();
    for (port, bindings) in map {
        let Some((number, protocol)) = port.split_once('/') else { continue };
        let number: u16 = number.parse().unwrap_or_default();
        match bindings {
            Some(bindings) if !bindings.is_empty() => rows.extend(bindings.iter().map(|binding| {
                json!({ "IP": binding.host_ip, "PrivatePort": number, "PublicPort": binding.host_port.parse::<u16>().unwrap_or_default(), "Type": protocol })
            })),
            _ => rows.push(json!({ "PrivatePort": number, "Type": protocol })),
        }
    }
    rows
}

/// The `Status` column.
fn words(record: &Record, now: i64) -> String {
    let ago = |at: Option<i64>| human(at.map_or(0, |at| now - at));
    let state = &record.state;
    match state.status {
        Status::Created => "Created".into(),
        Status::Running => format!("Up {}", ago(state.started_at)),
        Status::Paused => format!("Up {} (Paused)", ago(state.started_at)),
        Status::Restarting => format!("Restarting ({}) {} ago", state.exit_code, ago(state.finished_at)),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, ago(state.finished_at)),
        Status::Removing => "Removal In Progress".into(),
        Status::Dead => "Dead".into(),
    }
}

/// A duration in docker's words.
fn human(nanos: i64) -> String {
    let seconds = nanos.max(0) / 1_000_000_000;
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 63 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

/// For those who only count.
pub fn count(containers: &[Arc<Container>]) -> HashMap<Status, usize> {
    let mut counts = HashMap::new();
    for container in containers {
        *counts.entry(container.state().status).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::state::State;
    use super::*;

    #[test]
    fn durations_are_told_in_dockers_words() {
        let seconds = |seconds: i64| human(seconds * 1_000_000_000);
        for (value, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3600, "About an hour"),
            (7300, "2 hours"),
            (172_800, "2 days"),
            (1_209_600, "2 weeks"),
            (5_500_000, "2 months"),
            (63_100_000, "2 years"),
        ] {
            assert_eq!(seconds(value), text);
        }
    }

    #[test]
    fn the_status_column_tells_code_and_time() {
        let state = State { status: Status::Exited, exit_code: 3, finished_at: Some(0), ..State::default() };
        let record = Record { state, ..Record::default() };
        assert_eq!(words(&record, 4_000_000_000), "Exited (3) 4 seconds ago");
    }

    #[test]
    fn published_and_exposed_ports_are_told_apart() {
        let binding = crate::networks::PortBinding { host_ip: "0.0.0.0".into(), host_port: "8080".into() };
        let map = [("80/tcp".to_owned(), Some(vec![binding])), ("81/tcp".to_owned(), None)].into();
        let rows = ports(&map);
        assert_eq!(rows[0], json!({ "IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" }));
        assert_eq!(rows[1], json!({ "PrivatePort": 81, "Type": "tcp" }));
    }
}
