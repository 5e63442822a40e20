//! The collector: mark, then remove records, then files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use proto::containerd::events::ContentDelete;
use proto::containerd::services::images::v1::ImageDelete;
use proto::topics;
use redb::WriteTransaction;

use super::mark::{Garbage, mark};
use crate::content::Store;
use crate::error::Result;
use crate::metadata::tables::Source;
use crate::metadata::{self, Db};
use crate::snapshots::Snapshots;

/// Marks that may be out of date at their sweep before one is made inside the write transaction.
const TRIES: usize = 3;

/// Removes what nothing holds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Collector {
    db: Db,
    content: Store,
    snapshots: Snapshots,
    /// One run at a time.
    running: Arc<Mutex<()>>,
}

/// What a run removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Blobs' records.
    pub content: usize,
    /// Snapshots.
    pub snapshots: usize,
    /// Expired images.
    pub images: usize,
    /// Expired leases.
    pub leases: usize,
    /// Expired ingests.
    pub ingests: usize,
    /// How long it took.
    pub took: Duration,
}

type ByNamespace = BTreeMap<String, Garbage>;

impl Collector {
    /// A collector over the three stores.
    pub fn new(db: Db, content: Store, snapshots: Snapshots) -> Self {
        Self { db, content, snapshots, running: Arc::default() }
    }

    /// Runs once, wholly: when it returns, also the files are gone. May block.
    ///
    /// # Errors
    /// The metadata can't be read or written.
    pub fn run(&self) -> Result<Report> {
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        // Whatever changes from here on is the next run's.
        self.db.changes().take();
        let garbage = self.sweep()?;
        let mut report = Report::default();
        for (ns, garbage) in &garbage {
            self.announce(ns, garbage);
            report.content += garbage.content.len();
            report.snapshots += garbage.snapshots.len();
            report.images += garbage.images.len();
            report.leases += garbage.leases.len();
            report.ingests += garbage.ingests.len();
        }
        self.snapshots.cleanup();
        self.content.remove_nameless(report.content > 0)?;
        report.took = start.elapsed();
        tracing::debug!(?report, "garbage collected");
        Ok(report)
    }

    fn sweep(&self) -> Result<ByNamespace> {
        for _ in 0..TRIES {
            let read = self.db.read()?;
            let seen = metadata::generation(&read)?;
            let found = mark_all(&read)?;
            drop(read);
            if found.is_empty() {
                return Ok(found);
            }
            let found = self.sweep_marked(|txn| Ok((metadata::generation(txn)? == seen).then_some(found)))?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let found = self.sweep_marked(|txn| mark_all(txn).map(Some))?;
        Ok(found.unwrap_or_default())
    }

    /// Removes the records of what `choose` gives; nothing if it gives none.
    fn sweep_marked(
        &self,
        choose: impl FnOnce(&WriteTransaction) -> Result<Option<ByNamespace>>,
    ) -> Result<Option<ByNamespace>> {
        // Taking a ref lock never waits, so it may be done inside the transaction.
        let mut locks = Vec::new();
        let swept = self.db.write_quietly(|txn| {
            let Some(mut found) = choose(txn)? else { return Ok(None) };
            for (ns, garbage) in &mut found {
                garbage.ingests.retain(|reference| match self.content.lock(ns, reference) {
                    Ok(lock) => {
                        locks.push(lock);
                        true
                    }
                    Err(_) => false,
                });
                remove_records(txn, ns, garbage)?;
            }
            Ok(Some(found))
        })?;
        for (ns, garbage) in swept.iter().flatten() {
            for reference in &garbage.ingests {
                self.content.remove_ingest_files(ns, reference)?;
            }
        }
        Ok(swept)
    }

    fn announce(&self, ns: &str, garbage: &Garbage) {
        for (snapshotter, record) in &garbage.snapshots {
            self.snapshots.collected(ns, snapshotter, record);
        }
        for digest in &garbage.content {
            let event = ContentDelete { digest: digest.clone() };
            self.db.events().publish(ns, topics::CONTENT_DELETE, &event);
        }
        for name in &garbage.images {
            self.db.events().publish(ns, topics::IMAGE_DELETE, &ImageDelete { name: name.clone() });
        }
    }
}

fn mark_all(source: &impl Source) -> Result<ByNamespace> {
    let mut all = ByNamespace::new();
    for ns in metadata::namespace_names(source)? {
        let garbage = mark(source, &ns)?;
        if !garbage.is_empty() {
            all.insert(ns, garbage);
        }
    }
    Ok(all)
}

fn remove_records(txn: &WriteTransaction, ns: &str, garbage: &Garbage) -> Result<()> {
    for lease in &garbage.leases {
        metadata::leases::remove(txn, ns, lease)?;
    }
    for reference in &garbage.ingests {
        metadata::content::remove_ingest(txn, ns, reference)?;
    }
    for digest in &garbage.content {
        metadata::content::remove(txn, ns, digest)?;
    }
    for (snapshotter, record) in &garbage.snapshots {
        metadata::snapshots::remove(txn, ns, snapshotter, &record.key)?;
    }
    for image in &garbage.images {
        metadata::remove_image(txn, ns, image)?;
    }
    Ok(())
}
