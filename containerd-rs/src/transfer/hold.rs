//! What holds the parts of a transfer until the image does: the request's lease, or one of our own.
//!
//! A lease of our own never outlives its transfer: it goes with the request, also with one that the client gives
//! up, and what a killed daemon left goes at the next start.

use crate::blocking::blocking;
use crate::error::{Error, Result};
use crate::metadata::filters::Filters;
use crate::metadata::labels::Labels;
use crate::metadata::{Db, namespace_names};

/// Marks a lease as ours.
const OWN: &str = "containerd-rs/transfer";
/// A limit for readers of the leases; nothing of ours needs it.
const LIFETIME: time::Duration = time::Duration::hours(24);

/// A lease for as long as a transfer takes.
#[derive(Debug)]
pub(super) struct Hold {
    lease: String,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    db: Db,
    namespace: String,
}

impl Own {
    fn release(self, lease: &str) {
        if let Err(error) = self.db.leases().delete(&self.namespace, lease) {
            tracing::warn!(lease, %error, "let go of a transfer's lease");
        }
    }
}

impl Hold {
    /// The request's lease, or else a new one.
    pub(super) async fn take(db: &Db, namespace: &str, given: Option<String>) -> Result<Self> {
        if let Some(lease) = given {
            return Ok(Self { lease, own: None });
        }
        let lease = format!("pull-{:016x}", rand::random::<u64>());
        let until = (time::OffsetDateTime::now_utc() + LIFETIME)
            .format(&time::format_description::well_known::Rfc3339)
            .map_err(|error| Error::caused("write the time a lease ends", error))?;
        let labels = Labels::from([
            ("containerd.io/gc.expire".to_owned(), until),
            (OWN.to_owned(), "true".to_owned()),
        ]);
        let (db, namespace) = (db.clone(), namespace.to_owned());
        blocking(move || {
            db.leases().create(&namespace, &lease, labels)?;
            Ok(Self { lease, own: Some(Own { db, namespace }) })
        })
        .await
    }

    /// The lease's id.
    pub(super) fn lease(&self) -> &str {
        &self.lease
    }

    /// Lets go.
    pub(super) async fn end(mut self) {
        let (own, lease) = (self.own.take(), std::mem::take(&mut self.lease));
        let released = blocking(move || {
            if let Some(own) = own {
                own.release(&lease);
            }
            Ok(())
        });
        if let Err(error) = released.await {
            tracing::warn!(%error, "let go of a transfer's lease");
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let (Some(own), Ok(runtime)) = (self.own.take(), tokio::runtime::Handle::try_current()) {
            let lease = std::mem::take(&mut self.lease);
            runtime.spawn_blocking(move || own.release(&lease));
        }
    }
}

/// Ends the leases of transfers that a killed daemon was at.
///
/// # Errors
/// The database can't be read or written.
pub fn end_cut_off(db: &Db) -> Result<()> {
    let ours = Filters::parse(&[format!("labels.\"{OWN}\"==true")])?;
    for namespace in namespace_names(&db.read()?)? {
        for lease in db.leases().list(&namespace, &ours)? {
            tracing::info!(lease = lease.id, namespace, "a transfer was cut off");
            db.leases().delete(&namespace, &lease.id)?;
        }
    }
    Ok(())
}
