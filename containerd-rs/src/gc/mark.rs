//! What is held: from the roots along labels, targets, parents and back references.
//!
//! Nothing is parsed but records: without its `containerd.io/gc.ref.…` label, a manifest holds
//! nothing.

use std::collections::{HashMap, HashSet};

use proto::containerd::services::containers::v1::Container;
use proto::containerd::services::content::v1::Info;
use proto::containerd::services::images::v1::Image;
use proto::containerd::services::leases::v1::Lease;
use proto::containerd::types::Sandbox;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::Result;
use crate::metadata::labels::Labels;
use crate::metadata::tables::{self, IngestRecord, SnapshotRecord, Source};
use crate::metadata::{leases, snapshots};

const ROOT: &str = "containerd.io/gc.root";
const EXPIRE: &str = "containerd.io/gc.expire";
const FLAT: &str = "containerd.io/gc.flat";
const REF_CONTENT: &str = "containerd.io/gc.ref.content";
const REF_SNAPSHOT: &str = "containerd.io/gc.ref.snapshot.";
const REF_IMAGE: &str = "containerd.io/gc.ref.image";
const BACK_CONTAINER: &str = "containerd.io/gc.bref.container";
const BACK_CONTENT: &str = "containerd.io/gc.bref.content";
const BACK_IMAGE: &str = "containerd.io/gc.bref.image";
const BACK_SNAPSHOT: &str = "containerd.io/gc.bref.snapshot.";

/// A thing that can hold or be held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    Content(String),
    Snapshot(String, String),
    Image(String),
    Container(String),
    Ingest(String),
}

/// What nothing holds, in one namespace.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    pub(super) content: Vec<String>,
    /// Snapshotter and record.
    pub(super) snapshots: Vec<(String, SnapshotRecord)>,
    pub(super) images: Vec<String>,
    pub(super) leases: Vec<String>,
    pub(super) ingests: Vec<String>,
}

impl Garbage {
    pub(super) fn is_empty(&self) -> bool {
        self.content.is_empty()
            && self.snapshots.is_empty()
            && self.images.is_empty()
            && self.leases.is_empty()
            && self.ingests.is_empty()
    }
}

/// Finds the garbage of a namespace.
pub(super) fn mark(source: &impl Source, ns: &str) -> Result<Garbage> {
    let mut graph = Graph::read(source, ns)?;
    graph.walk();
    Ok(graph.garbage())
}

#[derive(Default)]
struct Graph {
    edges: HashMap<Node, Vec<Node>>,
    /// Parents of snapshots: also flat leases hold these.
    parents: HashMap<Node, Node>,
    /// To be visited; the flag says whether edges other than parents are followed.
    waiting: Vec<(Node, bool)>,
    held: HashSet<Node>,
    all: Garbage,
}

impl Graph {
    fn read(source: &impl Source, ns: &str) -> Result<Self> {
        let mut graph = Self::default();
        graph.read_content(source, ns)?;
        graph.read_snapshots(source, ns)?;
        graph.read_images(source, ns)?;
        for container in tables::list::<Container>(source, tables::CONTAINERS, ns, "")? {
            let node = Node::Container(container.id);
            graph.labels(&node, &container.labels);
            if !container.snapshotter.is_empty() {
                graph.edge(&node, Node::Snapshot(container.snapshotter, container.snapshot_key));
            }
            graph.waiting.push((node, true));
        }
        for sandbox in tables::list::<Sandbox>(source, tables::SANDBOXES, ns, "")? {
            // Sandboxes and containers have no common names to confuse: a sandbox is one that holds.
            let node = Node::Container(format!("sandbox {}", sandbox.sandbox_id));
            graph.labels(&node, &sandbox.labels);
            graph.waiting.push((node, true));
        }
        graph.read_ingests(source, ns)?;
        graph.read_leases(source, ns)?;
        Ok(graph)
    }

    fn read_content(&mut self, source: &impl Source, ns: &str) -> Result<()> {
        for info in tables::list::<Info>(source, tables::CONTENT, ns, "")? {
            let node = Node::Content(info.digest.clone());
            self.labels(&node, &info.labels);
            if info.labels.contains_key(ROOT) {
                self.waiting.push((node, true));
            }
            self.all.content.push(info.digest);
        }
        Ok(())
    }

    fn read_snapshots(&mut self, source: &impl Source, ns: &str) -> Result<()> {
        for snapshotter in snapshots::snapshotters(source, ns)? {
            for record in snapshots::list(source, ns, &snapshotter)? {
                let node = Node::Snapshot(snapshotter.clone(), record.key.clone());
                self.labels(&node, &record.labels);
                if !record.parent.is_empty() {
                    let parent = Node::Snapshot(snapshotter.clone(), record.parent.clone());
                    self.parents.insert(node.clone(), parent);
                }
                if record.labels.contains_key(ROOT) {
                    self.waiting.push((node, true));
                }
                self.all.snapshots.push((snapshotter.clone(), record));
            }
        }
        Ok(())
    }

    fn read_images(&mut self, source: &impl Source, ns: &str) -> Result<()> {
        for image in tables::list::<Image>(source, tables::IMAGES, ns, "")? {
            let node = Node::Image(image.name.clone());
            self.labels(&node, &image.labels);
            if let Some(target) = image.target {
                self.edge(&node, Node::Content(target.digest));
            }
            if is_expired(&image.labels, &image.name) {
                self.all.images.push(image.name);
            } else {
                self.waiting.push((node, true));
            }
        }
        Ok(())
    }

    fn read_ingests(&mut self, source: &impl Source, ns: &str) -> Result<()> {
        for ingest in tables::list::<IngestRecord>(source, tables::INGESTS, ns, "")? {
            let node = Node::Ingest(ingest.reference.clone());
            if !ingest.expected.is_empty() {
                self.edge(&node, Node::Content(ingest.expected));
            }
            if tables::is_past(ingest.expires_at.as_ref()) {
                self.all.ingests.push(ingest.reference);
            } else {
                self.waiting.push((node, true));
            }
        }
        Ok(())
    }

    fn read_leases(&mut self, source: &impl Source, ns: &str) -> Result<()> {
        for lease in tables::list::<Lease>(source, tables::LEASES, ns, "")? {
            if is_expired(&lease.labels, &lease.id) {
                self.all.leases.push(lease.id);
                continue;
            }
            let follow = !lease.labels.contains_key(FLAT);
            for resource in leases::resources(source, ns, &lease.id)? {
                let node = match resource.kind.split_once('/') {
                    None if resource.kind == "content" => Node::Content(resource.id),
                    None if resource.kind == "images" => Node::Image(resource.id),
                    None => Node::Ingest(resource.id),
                    Some((_, snapshotter)) => Node::Snapshot(snapshotter.to_owned(), resource.id),
                };
                self.waiting.push((node, follow));
            }
        }
        Ok(())
    }

    fn edge(&mut self, from: &Node, to: Node) {
        self.edges.entry(from.clone()).or_default().push(to);
    }

    /// Adds what the labels of `node` say.
    fn labels(&mut self, node: &Node, labels: &Labels) {
        for (key, value) in labels {
            if !key.starts_with("containerd.io/gc.") {
                continue;
            }
            if is_named(key, REF_CONTENT) {
                self.edge(node, Node::Content(value.clone()));
            } else if is_named(key, REF_IMAGE) {
                self.edge(node, Node::Image(value.clone()));
            } else if let Some(rest) = key.strip_prefix(REF_SNAPSHOT) {
                self.edge(node, Node::Snapshot(first_part(rest), value.clone()));
            } else if is_named(key, BACK_CONTAINER) {
                self.edge(&Node::Container(value.clone()), node.clone());
            } else if is_named(key, BACK_CONTENT) {
                self.edge(&Node::Content(value.clone()), node.clone());
            } else if is_named(key, BACK_IMAGE) {
                self.edge(&Node::Image(value.clone()), node.clone());
            } else if let Some(rest) = key.strip_prefix(BACK_SNAPSHOT) {
                self.edge(&Node::Snapshot(first_part(rest), value.clone()), node.clone());
            }
        }
    }

    fn walk(&mut self) {
        // Full visits first, so that a flat lease doesn't hide what another root holds wholly.
        let (full, flat): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, follow)| *follow);
        let mut waiting = full;
        while let Some((node, _)) = waiting.pop() {
            if !self.held.insert(node.clone()) {
                continue;
            }
            waiting.extend(self.edges.get(&node).into_iter().flatten().map(|to| (to.clone(), true)));
            waiting.extend(self.parents.get(&node).map(|parent| (parent.clone(), true)));
        }
        for (node, _) in flat {
            let mut next = Some(node);
            while let Some(node) = next.take() {
                next = self.parents.get(&node).cloned();
                self.held.insert(node);
            }
        }
    }

    fn garbage(self) -> Garbage {
        let Self { held, mut all, .. } = self;
        all.content.retain(|digest| !held.contains(&Node::Content(digest.clone())));
        all.snapshots
            .retain(|(snapshotter, r)| !held.contains(&Node::Snapshot(snapshotter.clone(), r.key.clone())));
        all.images.retain(|name| !held.contains(&Node::Image(name.clone())));
        all.ingests.retain(|reference| !held.contains(&Node::Ingest(reference.clone())));
        all
    }
}

/// Whether a key is `name` itself or goes on with `.` or `/`.
fn is_named(key: &str, name: &str) -> bool {
    key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
}

fn first_part(rest: &str) -> String {
    rest.split('/').next().unwrap_or_default().to_owned()
}

/// Whether the expiry label is past. One that can't be read never expires.
fn is_expired(labels: &Labels, object: &str) -> bool {
    let Some(text) = labels.get(EXPIRE) else { return false };
    match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(when) => when <= OffsetDateTime::now_utc(),
        Err(error) => {
            tracing::warn!(object, label = text, %error, "an expiry that can't be read: it never expires");
            false
        }
    }
}
