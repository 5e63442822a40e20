//! When garbage is collected: soon after the start, after deletions, and after many changes.

use std::time::Duration;

use super::sweep::Collector;
use crate::blocking::blocking;
use crate::metadata::Db;

/// Wait after the start.
const STARTUP: Duration = Duration::from_millis(100);
/// Changes that make a run worthwhile without a deletion.
const MUTATIONS: u64 = 100;
/// A run is followed by a pause of this many times its length.
const PAUSE: u32 = 49;
/// What comes within this after a deletion is collected with it.
const GATHER: Duration = Duration::from_millis(20);

/// Runs the collector whenever there may be work. Never returns; drop it to stop.
pub async fn schedule(db: Db, collector: Collector) {
    tokio::time::sleep(STARTUP).await;
    loop {
        let run = collector.clone();
        let pause = match blocking(move || run.run()).await {
            Ok(report) => (report.took * PAUSE).max(GATHER),
            Err(error) => {
                tracing::error!(%error, "garbage collection failed");
                Duration::from_secs(1)
            }
        };
        tokio::time::sleep(pause).await;
        loop {
            let (mutations, deleted) = db.changes().peek();
            if deleted || mutations >= MUTATIONS {
                break;
            }
            db.changes().wait().await;
        }
    }
}
