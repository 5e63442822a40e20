//! Leases: they hold what is being worked on against garbage collection.

use proto::containerd::services::leases::v1::Lease;
use redb::WriteTransaction;

use super::filters::{Filters, labels_field};
use super::labels::{self, Labels};
use super::tables::{self, LEASE_RESOURCES, LEASES, Source};
use super::{Db, namespaces};
use crate::error::{Error, Kind, Result};

/// Access to leases.
#[derive(Clone, Copy, Debug)]
pub struct Leases<'a>(pub(super) &'a Db);

/// Something a lease can hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// `content`, `ingests`, `images` or `snapshots/SNAPSHOTTER`.
    pub kind: String,
    /// Digest, ref, name or key.
    pub id: String,
}

impl Resource {
    /// A blob.
    pub fn content(digest: &str) -> Self {
        Self { kind: "content".into(), id: digest.to_owned() }
    }

    /// A blob that is being written.
    pub fn ingest(reference: &str) -> Self {
        Self { kind: "ingests".into(), id: reference.to_owned() }
    }

    /// An image.
    pub fn image(name: &str) -> Self {
        Self { kind: "images".into(), id: name.to_owned() }
    }

    /// A snapshot.
    pub fn snapshot(snapshotter: &str, key: &str) -> Self {
        Self { kind: format!("snapshots/{snapshotter}"), id: key.to_owned() }
    }

    /// Takes what a client named.
    ///
    /// # Errors
    /// Unimplemented for a type that leases can't hold; invalid without an id or snapshotter.
    pub fn parse(kind: &str, id: &str) -> Result<Self> {
        let (base, rest) = kind.split_once('/').map_or((kind, None), |(b, r)| (b, Some(r)));
        match (base, rest) {
            ("content", None) if !crate::content::is_digest(id) => {
                return Err(Error::invalid(format!("invalid digest {id:?} of lease resource")));
            }
            ("content" | "ingests" | "images", None) => {}
            ("snapshots", Some(snapshotter)) if !snapshotter.is_empty() => {}
            ("content" | "ingests" | "images" | "snapshots", _) => {
                return Err(Error::invalid(format!("invalid resource type {kind:?}")));
            }
            _ => {
                let text = format!("resource type {kind} not supported yet");
                return Err(Error::new(Kind::Unimplemented, text));
            }
        }
        if id.is_empty() {
            return Err(Error::invalid("resource id must not be empty"));
        }
        Ok(Self { kind: kind.to_owned(), id: id.to_owned() })
    }

    fn key(&self, lease: &str) -> String {
        format!("{lease}\0{}\0{}", self.kind, self.id)
    }
}

impl Leases<'_> {
    /// One lease.
    ///
    /// # Errors
    /// Not found.
    pub fn get(&self, ns: &str, id: &str) -> Result<Lease> {
        tables::get(&self.0.read()?, LEASES, ns, id)?.ok_or_else(|| Error::not_found(format!("lease {id:?}")))
    }

    /// The leases of a namespace that `filters` let through.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn list(&self, ns: &str, filters: &Filters) -> Result<Vec<Lease>> {
        let mut all: Vec<Lease> = tables::list(&self.0.read()?, LEASES, ns, "")?;
        all.retain(|lease| {
            filters.matches(&|path: &[&str]| match path {
                ["id"] => Some(lease.id.clone()),
                ["labels", rest @ ..] => labels_field(&lease.labels, rest),
                _ => None,
            })
        });
        Ok(all)
    }

    /// Makes a lease.
    ///
    /// # Errors
    /// It exists, or its id or a label isn't valid.
    pub fn create(&self, ns: &str, id: &str, labels: Labels) -> Result<Lease> {
        if id.is_empty() {
            return Err(Error::invalid("lease id must be provided"));
        }
        if id.contains('\0') {
            return Err(Error::invalid(format!("lease id {id:?} holds a zero byte")));
        }
        labels::check(&labels)?;
        self.0.write(|txn| {
            namespaces::ensure(txn, ns)?;
            if tables::get::<Lease>(txn, LEASES, ns, id)?.is_some() {
                return Err(Error::already_exists(format!("lease {id:?}")));
            }
            let lease = Lease { id: id.to_owned(), created_at: tables::now(), labels };
            tables::put(txn, LEASES, ns, id, &lease)?;
            Ok(lease)
        })
    }

    /// Removes a lease. What it held stays until garbage collection runs.
    ///
    /// # Errors
    /// Not found.
    pub fn delete(&self, ns: &str, id: &str) -> Result<()> {
        self.0.write(|txn| {
            if tables::get::<Lease>(txn, LEASES, ns, id)?.is_none() {
                return Err(Error::not_found(format!("lease {id:?}")));
            }
            remove(txn, ns, id)
        })?;
        self.0.changes().deleted();
        Ok(())
    }

    /// Lets a lease hold something, which needn't exist.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn add_resource(&self, ns: &str, id: &str, resource: &Resource) -> Result<()> {
        self.0.write(|txn| {
            if tables::get::<Lease>(txn, LEASES, ns, id)?.is_none() {
                return Err(Error::not_found(format!("lease {id:?}")));
            }
            hold(txn, ns, Some(id), resource)
        })
    }

    /// Lets go of something; nothing happens if it wasn't held.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn delete_resource(&self, ns: &str, id: &str, resource: &Resource) -> Result<()> {
        self.0.write(|txn| {
            if tables::get::<Lease>(txn, LEASES, ns, id)?.is_none() {
                return Err(Error::not_found(format!("lease {id:?}")));
            }
            tables::remove(txn, LEASE_RESOURCES, ns, &resource.key(id))
        })?;
        self.0.changes().deleted();
        Ok(())
    }

    /// What a lease holds.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn resources(&self, ns: &str, id: &str) -> Result<Vec<Resource>> {
        let read = self.0.read()?;
        if tables::get::<Lease>(&read, LEASES, ns, id)?.is_none() {
            return Err(Error::not_found(format!("lease {id:?}")));
        }
        resources(&read, ns, id)
    }
}

/// What a lease holds.
pub(crate) fn resources(source: &impl Source, ns: &str, id: &str) -> Result<Vec<Resource>> {
    let mut held = Vec::new();
    let prefix = format!("{id}\0");
    tables::scan(source, LEASE_RESOURCES, ns, &prefix, |key, _| {
        if let Some((kind, id)) = key[prefix.len()..].split_once('\0') {
            held.push(Resource { kind: kind.to_owned(), id: id.to_owned() });
        }
        Ok(())
    })?;
    Ok(held)
}

/// Adds a resource to the request's lease, if it has one.
///
/// # Errors
/// Not found, with the text clients know, if the lease is gone.
pub(crate) fn hold(txn: &WriteTransaction, ns: &str, lease: Option<&str>, resource: &Resource) -> Result<()> {
    let Some(id) = lease else { return Ok(()) };
    if tables::get::<Lease>(txn, LEASES, ns, id)?.is_none() {
        return Err(Error::not_found("lease does not exist"));
    }
    tables::put(txn, LEASE_RESOURCES, ns, &resource.key(id), &())
}

/// Lets every lease go of a resource that is no more.
pub(crate) fn forget(txn: &WriteTransaction, ns: &str, resource: &Resource) -> Result<()> {
    let leases: Vec<Lease> = tables::list(txn, LEASES, ns, "")?;
    for lease in leases {
        tables::remove(txn, LEASE_RESOURCES, ns, &resource.key(&lease.id))?;
    }
    Ok(())
}

/// Removes a lease and its list.
pub(crate) fn remove(txn: &WriteTransaction, ns: &str, id: &str) -> Result<()> {
    for resource in resources(txn, ns, id)? {
        tables::remove(txn, LEASE_RESOURCES, ns, &resource.key(id))?;
    }
    tables::remove(txn, LEASES, ns, id)?;
    Ok(())
}

/// Removes all leases of a namespace.
pub(crate) fn remove_all(txn: &WriteTransaction, ns: &str) -> Result<()> {
    let leases: Vec<Lease> = tables::list(txn, LEASES, ns, "")?;
    leases.iter().try_for_each(|lease| remove(txn, ns, &lease.id))
}
