//! Exits: each is told once, whoever brings the news.
//!
//! An exit may be learnt from the shim's event, from its `delete`, or by asking its state after a
//! restart. What was told is written to `exits` in the bundle (a line each: pid, status and id of
//! the process), so that a restarted daemon doesn't tell it again.

use std::collections::{HashSet, VecDeque};
use std::fs::OpenOptions;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use proto::containerd::events::{TaskDelete, TaskExit};
use proto::containerd::types::Envelope;
use proto::{topics, typeurl};

use super::bundle::Layout;
use super::task::Exit;
use crate::events::Exchange;
use crate::request::check_identifier;

/// Exits remembered; a second report that comes later than this many others is taken for new.
const REMEMBERED: usize = 16 << 10;
const FILE: &str = "exits";

/// Passes on events of tasks and tells each exit once.
#[derive(Debug)]
pub struct Exits {
    exchange: Exchange,
    layout: Layout,
    started: SystemTime,
    hasher: RandomState,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Told {
    /// Whether `key` is new.
    fn insert(&mut self, key: u64) -> bool {
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Exits {
    /// Tells exits to `exchange`; what happened before now counts as late news.
    pub fn new(exchange: Exchange, layout: Layout) -> Self {
        Self {
            exchange,
            layout,
            started: SystemTime::now(),
            hasher: RandomState::new(),
            told: Mutex::default(),
        }
    }

    /// Passes on an envelope, unless it tells an exit that was told before.
    pub fn forward(&self, envelope: Envelope) {
        if envelope.topic == topics::TASK_EXIT
            && let Some(exit) =
                envelope.event.as_ref().and_then(|event| typeurl::unpack::<TaskExit>(event).ok())
            && !self.is_news(&envelope.namespace, &exit)
        {
            tracing::debug!(container = exit.container_id, process = exit.id, "the exit was told before");
            return;
        }
        let when = envelope.timestamp.and_then(|time| SystemTime::try_from(time).ok());
        if when.is_some_and(|when| when < self.started) {
            self.exchange.forward_late(envelope);
        } else {
            self.exchange.forward(envelope);
        }
    }

    /// Tells the exit of a task's init process, if nobody has.
    pub(super) fn report(&self, namespace: &str, container: &str, exit: &Exit) {
        let event = TaskExit {
            container_id: container.to_owned(),
            id: container.to_owned(),
            pid: exit.pid,
            exit_status: exit.status,
            exited_at: exit.at,
        };
        if self.is_news(namespace, &event) {
            self.exchange.forward_late(envelope(namespace, topics::TASK_EXIT, typeurl::pack(&event)));
        }
    }

    /// Tells that a task is gone whose shim couldn't say so.
    pub(super) fn report_delete(&self, namespace: &str, container: &str, exit: &Exit) {
        let event = TaskDelete {
            container_id: container.to_owned(),
            pid: exit.pid,
            exit_status: exit.status,
            exited_at: exit.at,
            id: String::new(),
        };
        self.exchange.forward_late(envelope(namespace, topics::TASK_DELETE, typeurl::pack(&event)));
    }

    /// Whether the exit of that process was told.
    pub(super) fn was_told(&self, namespace: &str, container: &str, pid: u32) -> bool {
        let key = self.hasher.hash_one((namespace, container, container, pid));
        self.told.lock().unwrap_or_else(PoisonError::into_inner).known.contains(&key)
    }

    /// Reads what an earlier daemon told about a bundle's processes.
    pub(super) fn load(&self, namespace: &str, container: &str) {
        let path = self.layout.bundle(namespace, container).join(FILE);
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // A line cut short by a crash is no line.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let mut words = line.splitn(3, ' ');
            if let (Some(Ok(pid)), Some(_), Some(process)) =
                (words.next().map(str::parse::<u32>), words.next(), words.next())
            {
                told.insert(self.hasher.hash_one((namespace, container, process, pid)));
            }
        }
    }

    fn is_news(&self, namespace: &str, exit: &TaskExit) -> bool {
        let key = self.hasher.hash_one((namespace, exit.container_id.as_str(), exit.id.as_str(), exit.pid));
        if !self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            return false;
        }
        self.write_down(namespace, exit);
        true
    }

    fn write_down(&self, namespace: &str, exit: &TaskExit) {
        // The names come from a shim and become a path.
        if [namespace, &exit.container_id, &exit.id].into_iter().any(|name| check_identifier(name).is_err()) {
            return;
        }
        let path = self.layout.bundle(namespace, &exit.container_id).join(FILE);
        let line = format!("{} {} {}\n", exit.pid, exit.exit_status, exit.id);
        let written = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "write down an exit");
            }
            _ => {}
        }
    }
}

fn envelope(namespace: &str, topic: &str, event: prost_types::Any) -> Envelope {
    Envelope {
        timestamp: Some(SystemTime::now().into()),
        namespace: namespace.to_owned(),
        topic: topic.to_owned(),
        event: Some(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_told_once_by_whoever_comes_first_even_over_a_restart() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let layout = Layout::new(dir.path(), dir.path());
        std::fs::create_dir_all(layout.bundle("ns", "c")).expect("bundle");
        let exit = Exit { pid: 7, status: 3, at: Some(SystemTime::now().into()) };
        let told =
            TaskExit { container_id: "c".into(), id: "c".into(), pid: 7, exit_status: 3, exited_at: exit.at };
        let from_shim = || envelope("ns", topics::TASK_EXIT, typeurl::pack(&told));

        let exchange = Exchange::default();
        let mut heard = exchange.subscribe();
        let exits = Exits::new(exchange, layout.clone());
        exits.forward(from_shim());
        exits.report("ns", "c", &exit);
        exits.forward(from_shim());
        assert!(exits.was_told("ns", "c", 7));
        assert_eq!(heard.try_recv().expect("told").topic, topics::TASK_EXIT);
        assert!(heard.try_recv().is_err(), "told twice");

        let exchange = Exchange::default();
        let mut heard = exchange.subscribe();
        let exits = Exits::new(exchange, layout);
        exits.load("ns", "c");
        exits.forward(from_shim());
        assert!(heard.try_recv().is_err(), "told again after a restart");
        exits.report("ns", "c", &Exit { pid: 8, ..exit });
        assert!(heard.try_recv().is_ok(), "another process's exit is news");
    }
}
