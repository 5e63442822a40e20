//! Namespaces: made by hand or by the first thing written into them.

use proto::containerd::events::{NamespaceCreate, NamespaceDelete, NamespaceUpdate};
use proto::containerd::services::namespaces::v1::Namespace;
use proto::topics;
use redb::{ReadableTable, WriteTransaction};

use super::Db;
use super::field_mask::{Path, update_labels};
use super::labels::{self, Labels};
use super::tables::{self, CONTAINERS, CONTENT, IMAGES, NAMESPACES, SNAPSHOTS, Source};
use crate::error::{Error, Result};

/// Access to namespaces.
#[derive(Clone, Copy, Debug)]
pub struct Namespaces<'a>(pub(super) &'a Db);

/// Makes a namespace that isn't there yet, as a part of writing something into it.
pub(crate) fn ensure(txn: &WriteTransaction, name: &str) -> Result<()> {
    if tables::get::<Namespace>(txn, NAMESPACES, "", name)?.is_none() {
        tables::put(txn, NAMESPACES, "", name, &Namespace { name: name.to_owned(), labels: Labels::new() })?;
    }
    Ok(())
}

/// Names of all namespaces.
pub(crate) fn names(source: &impl Source) -> Result<Vec<String>> {
    let mut names = Vec::new();
    tables::scan(source, NAMESPACES, "", "", |name, _| {
        names.push(name.to_owned());
        Ok(())
    })?;
    Ok(names)
}

impl Namespaces<'_> {
    /// One namespace; an unknown one looks like an empty one.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn get(&self, name: &str) -> Result<Namespace> {
        let found = tables::get(&self.0.read()?, NAMESPACES, "", name)?;
        Ok(found.unwrap_or_else(|| Namespace { name: name.to_owned(), labels: Labels::new() }))
    }

    /// All namespaces by name.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn list(&self) -> Result<Vec<Namespace>> {
        tables::list(&self.0.read()?, NAMESPACES, "", "")
    }

    /// Makes one.
    ///
    /// # Errors
    /// It exists, its name is no name, a label is too long.
    pub fn create(&self, namespace: &Namespace) -> Result<()> {
        crate::request::check_identifier(&namespace.name)?;
        labels::check(&namespace.labels)?;
        self.0.write(|txn| {
            if tables::get::<Namespace>(txn, NAMESPACES, "", &namespace.name)?.is_some() {
                return Err(Error::already_exists(format!("namespace {:?}", namespace.name)));
            }
            tables::put(txn, NAMESPACES, "", &namespace.name, namespace)
        })?;
        let event = NamespaceCreate { name: namespace.name.clone(), labels: namespace.labels.clone() };
        self.0.events().publish(&namespace.name, topics::NAMESPACE_CREATE, &event);
        Ok(())
    }

    /// Changes labels. One that was never made is made.
    ///
    /// # Errors
    /// A path other than labels, a label too long.
    pub fn update(&self, namespace: &Namespace, paths: &[Path<'_>]) -> Result<Namespace> {
        crate::request::check_identifier(&namespace.name)?;
        let updated = self.0.write(|txn| {
            let mut current = tables::get::<Namespace>(txn, NAMESPACES, "", &namespace.name)?
                .unwrap_or_else(|| Namespace { name: namespace.name.clone(), labels: Labels::new() });
            if let Some(path) = update_labels(&mut current.labels, &namespace.labels, paths) {
                return Err(Error::invalid(format!(
                    "cannot update {:?} field in namespace",
                    path.to_string()
                )));
            }
            current.labels.retain(|_, value| !value.is_empty());
            labels::check(&current.labels)?;
            tables::put(txn, NAMESPACES, "", &namespace.name, &current)?;
            Ok(current)
        })?;
        let event = NamespaceUpdate { name: updated.name.clone(), labels: updated.labels.clone() };
        self.0.events().publish(&updated.name, topics::NAMESPACE_UPDATE, &event);
        Ok(updated)
    }

    /// Removes an empty namespace; one that was never made is no error.
    ///
    /// # Errors
    /// Failed precondition with what it still has.
    pub fn delete(&self, name: &str) -> Result<()> {
        crate::request::check_identifier(name)?;
        self.0.write(|txn| {
            let left = contents(txn, name)?;
            if !left.is_empty() {
                return Err(Error::precondition(format!(
                    "namespace {name:?} must be empty, but it still has {}",
                    left.join(", ")
                )));
            }
            // Leases don't count as contents, but they don't outlive their namespace either.
            super::leases::remove_all(txn, name)?;
            super::content::remove_ingests(txn, name)?;
            tables::remove(txn, NAMESPACES, "", name)
        })?;
        self.0.changes().deleted();
        self.0.events().publish(name, topics::NAMESPACE_DELETE, &NamespaceDelete { name: name.to_owned() });
        Ok(())
    }
}

fn contents(source: &impl Source, ns: &str) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for (table, kind) in [(IMAGES, "images"), (CONTENT, "blobs"), (CONTAINERS, "containers")] {
        let mut some = false;
        let opened = source.table(table)?;
        if let Some(first) =
            opened.range((ns, "")..).map_err(|e| Error::caused("read the metadata", e))?.next()
        {
            let (key, _) = first.map_err(|e| Error::caused("read the metadata", e))?;
            some = key.value().0 == ns;
        }
        if some {
            left.push(kind.to_owned());
        }
    }
    let mut snapshotters: Vec<String> = Vec::new();
    tables::scan(source, SNAPSHOTS, ns, "", |key, _| {
        let name = key.split('/').next().unwrap_or_default();
        if snapshotters.last().is_none_or(|last| last != name) {
            snapshotters.push(name.to_owned());
        }
        Ok(())
    })?;
    left.extend(snapshotters.iter().map(|name| format!("snapshots on {name:?} snapshotter")));
    Ok(left)
}
