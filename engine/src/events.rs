//! The daemon's events: the last 256 kept, and everyone who listens told.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::filters::Filters;

/// Events kept for `since`.
const KEPT: usize = 256;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `container`, `image`, `network`, `volume`, `daemon`…
    pub kind: &'static str,
    /// What happened: `start`, `die`, `exec_start: ls`…
    pub action: String,
    /// The object's id (volumes: name).
    pub id: String,
    /// The object's properties.
    pub attributes: HashMap<String, String>,
    /// Nanoseconds since 1970.
    pub time: i64,
}

impl Event {
    /// As JSON, in the shape up to API 1.51.
    pub fn to_json(&self) -> Value {
        let mut event = serde_json::Map::new();
        if matches!(self.kind, "container" | "image") {
            event.insert("status".into(), self.action.clone().into());
            event.insert("id".into(), self.id.clone().into());
            if let Some(from) = self.attributes.get("image") {
                event.insert("from".into(), from.clone().into());
            }
        }
        event.insert("Type".into(), self.kind.into());
        event.insert("Action".into(), self.action.clone().into());
        event.insert("Actor".into(), json!({"ID": self.id, "Attributes": self.attributes}));
        event.insert("scope".into(), "local".into());
        event.insert("time".into(), (self.time / 1_000_000_000).into());
        event.insert("timeNano".into(), self.time.into());
        event.into()
    }

    /// Says whether the filters let it through; keys that events don't know are ignored.
    pub fn matches(&self, filters: &Filters) -> bool {
        let attribute = |key: &str| self.attributes.get(key).map(String::as_str).unwrap_or_default();
        let object = |kind: &'static str, key: &str| {
            filters.any(key, |wanted| {
                let own = self.kind == kind
                    && (self.id == *wanted
                        || (kind != "image" && self.id.starts_with(wanted.as_str()))
                        || attribute("name") == wanted);
                own || attribute(key) == wanted
            })
        };
        filters.any("type", |wanted| wanted == self.kind)
            && filters.any("event", |wanted| {
                self.action == *wanted || self.action.split(':').next() == Some(wanted)
            })
            && filters.any("scope", |wanted| wanted == "local")
            && object("container", "container")
            && object("image", "image")
            && object("network", "network")
            && object("volume", "volume")
            && object("daemon", "daemon")
            && filters.labels(&self.attributes)
    }
}

/// The bus; clones share it.
#[derive(Clone, Debug)]
pub struct Events {
    past: Arc<Mutex<VecDeque<Arc<Event>>>>,
    sender: broadcast::Sender<Arc<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { past: Arc::default(), sender: broadcast::channel(1024).0 }
    }
}

impl Events {
    /// Publishes an event with the time of now.
    pub fn publish(
        &self,
        kind: &'static str,
        action: impl Into<String>,
        id: &str,
        attributes: HashMap<String, String>,
    ) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Arc::new(Event {
            kind,
            action: action.into(),
            id: id.to_owned(),
            attributes,
            time: crate::timestamp::now(),
        });
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(event.clone());
        // Nobody listening is fine.
        let _ = self.sender.send(event);
    }

    /// The kept events from `since` on, and those to come, without a gap.
    pub fn subscribe(&self, since: Option<i64>) -> (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>) {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = since.map_or_else(Vec::new, |since| {
            past.iter().filter(|event| event.time >= since).cloned().collect()
        });
        (kept, self.sender.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn kept_events_come_first_and_none_is_missed() {
        let events = Events::default();
        events.publish("container", "create", "a", HashMap::new());
        let (past, mut coming) = events.subscribe(Some(0));
        events.publish("container", "start", "a", HashMap::new());
        assert_eq!(past.len(), 1);
        assert_eq!(coming.try_recv().expect("one").action, "start");
    }

    #[test]
    fn filters_look_at_type_action_object_and_labels() {
        let event = Event {
            kind: "container",
            action: "exec_start: ls".into(),
            id: "abc".into(),
            attributes: attributes(&[("name", "web"), ("l", "1")]),
            time: 0,
        };
        let matches = |text: &str| event.matches(&Filters::parse(Some(text)).expect("filter"));
        assert!(matches(r#"{"event":["exec_start"]}"#));
        assert!(matches(r#"{"container":["web"],"label":["l=1"]}"#));
        assert!(!matches(r#"{"type":["image"]}"#));
        assert!(!matches(r#"{"container":["other"]}"#));
        assert!(matches(r#"{"unknown":["x"]}"#));
    }

    #[test]
    fn a_network_event_is_found_by_its_container() {
        let event = Event {
            kind: "network",
            action: "connect".into(),
            id: "n".into(),
            attributes: attributes(&[("container", "abc")]),
            time: 0,
        };
        assert!(event.matches(&Filters::parse(Some(r#"{"container":["abc"]}"#)).expect("filter")));
    }
}
