//! Sandboxes' records.

use proto::containerd::types::Sandbox;

use super::field_mask::Path;
use super::filters::{Filters, labels_field};
use super::tables::{self, SANDBOXES};
use super::{Db, labels, namespaces};
use crate::error::{Error, Result};

/// Access to sandboxes' records.
#[derive(Clone, Copy, Debug)]
pub struct Sandboxes<'a>(pub(super) &'a Db);

impl Sandboxes<'_> {
    /// One sandbox.
    ///
    /// # Errors
    /// Not found.
    pub fn get(&self, ns: &str, id: &str) -> Result<Sandbox> {
        tables::get(&self.0.read()?, SANDBOXES, ns, id)?
            .ok_or_else(|| Error::not_found(format!("sandbox {id:?}")))
    }

    /// The sandboxes of a namespace that `filters` let through.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn list(&self, ns: &str, filters: &Filters) -> Result<Vec<Sandbox>> {
        let mut all: Vec<Sandbox> = tables::list(&self.0.read()?, SANDBOXES, ns, "")?;
        all.retain(|sandbox| {
            filters.matches(&|path: &[&str]| match path {
                ["id"] => Some(sandbox.sandbox_id.clone()),
                ["labels", rest @ ..] => labels_field(&sandbox.labels, rest),
                _ => None,
            })
        });
        Ok(all)
    }

    /// Makes a record; times are set here.
    ///
    /// # Errors
    /// It exists, or its id or a label isn't valid.
    pub fn create(&self, ns: &str, mut sandbox: Sandbox) -> Result<Sandbox> {
        crate::request::check_identifier(&sandbox.sandbox_id)?;
        labels::check(&sandbox.labels)?;
        sandbox.created_at = tables::now();
        sandbox.updated_at = sandbox.created_at;
        self.0.write(|txn| {
            namespaces::ensure(txn, ns)?;
            if tables::get::<Sandbox>(txn, SANDBOXES, ns, &sandbox.sandbox_id)?.is_some() {
                return Err(Error::already_exists(format!("sandbox {:?}", sandbox.sandbox_id)));
            }
            tables::put(txn, SANDBOXES, ns, &sandbox.sandbox_id, &sandbox)?;
            Ok(sandbox)
        })
    }

    /// Changes what `paths` name, or all that may change if there are none.
    ///
    /// # Errors
    /// Not found; a path that may not change.
    pub fn update(&self, ns: &str, new: &Sandbox, paths: &[Path<'_>]) -> Result<Sandbox> {
        let all =
            [Path::Field("labels"), Path::Field("extensions"), Path::Field("spec"), Path::Field("runtime")];
        self.0.write(|txn| {
            let mut current: Sandbox = tables::get(txn, SANDBOXES, ns, &new.sandbox_id)?
                .ok_or_else(|| Error::not_found(format!("sandbox {:?}", new.sandbox_id)))?;
            for path in if paths.is_empty() { &all[..] } else { paths } {
                match path {
                    Path::Field("labels") => current.labels.clone_from(&new.labels),
                    Path::Entry("labels", key) => labels::set(&mut current.labels, key, new.labels.get(*key)),
                    Path::Field("extensions") => current.extensions.clone_from(&new.extensions),
                    Path::Field("spec") => current.spec.clone_from(&new.spec),
                    Path::Field("runtime") => current.runtime.clone_from(&new.runtime),
                    other => {
                        return Err(Error::invalid(format!(
                            "cannot update {:?} field on sandbox {:?}",
                            other.to_string(),
                            new.sandbox_id
                        )));
                    }
                }
            }
            labels::check(&current.labels)?;
            current.updated_at = tables::now();
            tables::put(txn, SANDBOXES, ns, &current.sandbox_id, &current)?;
            Ok(current)
        })
    }

    /// Removes a record.
    ///
    /// # Errors
    /// Not found.
    pub fn delete(&self, ns: &str, id: &str) -> Result<()> {
        self.0.write(|txn| {
            if tables::remove(txn, SANDBOXES, ns, id)? {
                Ok(())
            } else {
                Err(Error::not_found(format!("sandbox {id:?}")))
            }
        })?;
        self.0.changes().deleted();
        Ok(())
    }
}
