//! Containers' records. Spec, options and extensions are stored as they came.

use proto::containerd::events::{ContainerCreate, ContainerDelete, ContainerUpdate, container_create};
use proto::containerd::services::containers::v1::Container;
use proto::topics;

use super::field_mask::Path;
use super::filters::{Filters, labels_field};
use super::labels;
use super::tables::{self, CONTAINERS};
use super::{Db, namespaces};
use crate::error::{Error, Result};
use crate::request::check_identifier;

/// Access to containers' records.
#[derive(Clone, Copy, Debug)]
pub struct Containers<'a>(pub(super) &'a Db);

impl Containers<'_> {
    /// One container.
    ///
    /// # Errors
    /// Not found.
    pub fn get(&self, ns: &str, id: &str) -> Result<Container> {
        tables::get(&self.0.read()?, CONTAINERS, ns, id)?
            .ok_or_else(|| Error::not_found(format!("container {id:?} in namespace {ns:?}")))
    }

    /// The containers of a namespace that `filters` let through.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn list(&self, ns: &str, filters: &Filters) -> Result<Vec<Container>> {
        let mut all: Vec<Container> = tables::list(&self.0.read()?, CONTAINERS, ns, "")?;
        all.retain(|container| filters.matches(&|path: &[&str]| field(container, path)));
        Ok(all)
    }

    /// Makes a record; times are set here.
    ///
    /// # Errors
    /// It exists, or a field is missing or wrong.
    pub fn create(&self, ns: &str, mut container: Container) -> Result<Container> {
        check(&container)
            .map_err(|error| Error::new(error.kind(), "create container failed validation").because(error))?;
        container.created_at = tables::now();
        container.updated_at = container.created_at;
        self.0.write(|txn| {
            namespaces::ensure(txn, ns)?;
            if tables::get::<Container>(txn, CONTAINERS, ns, &container.id)?.is_some() {
                return Err(Error::already_exists(format!("container {:?}", container.id)));
            }
            tables::put(txn, CONTAINERS, ns, &container.id, &container)
        })?;
        let runtime =
            container.runtime.clone().map(|r| container_create::Runtime { name: r.name, options: r.options });
        let event = ContainerCreate { id: container.id.clone(), image: container.image.clone(), runtime };
        self.0.events().publish(ns, topics::CONTAINER_CREATE, &event);
        Ok(container)
    }

    /// Changes what `paths` name, or all that may change if there are none.
    ///
    /// # Errors
    /// Not found; a path that may not change; the result isn't valid.
    pub fn update(&self, ns: &str, new: &Container, paths: &[Path<'_>]) -> Result<Container> {
        if new.id.is_empty() {
            return Err(Error::invalid("must specify a container id"));
        }
        let updated = self.0.write(|txn| {
            let mut current: Container = tables::get(txn, CONTAINERS, ns, &new.id)?
                .ok_or_else(|| Error::not_found(format!("container {:?}", new.id)))?;
            apply(&mut current, new, paths)?;
            check(&current)?;
            current.updated_at = tables::now();
            tables::put(txn, CONTAINERS, ns, &new.id, &current)?;
            Ok(current)
        })?;
        let event = ContainerUpdate {
            id: updated.id.clone(),
            image: updated.image.clone(),
            labels: updated.labels.clone(),
            snapshot_key: updated.snapshot_key.clone(),
        };
        self.0.events().publish(ns, topics::CONTAINER_UPDATE, &event);
        Ok(updated)
    }

    /// Removes a record. A task of it isn't looked at: the client does that.
    ///
    /// # Errors
    /// Not found.
    pub fn delete(&self, ns: &str, id: &str) -> Result<()> {
        self.0.write(|txn| {
            if tables::remove(txn, CONTAINERS, ns, id)? {
                Ok(())
            } else {
                Err(Error::not_found(format!("cannot delete container {id:?} in namespace {ns:?}")))
            }
        })?;
        self.0.changes().deleted();
        self.0.events().publish(ns, topics::CONTAINER_DELETE, &ContainerDelete { id: id.to_owned() });
        Ok(())
    }
}

fn field(container: &Container, path: &[&str]) -> Option<String> {
    match path {
        ["id"] => Some(container.id.clone()),
        ["runtime", "name"] => container.runtime.as_ref().map(|r| r.name.clone()),
        ["image"] => Some(container.image.clone()),
        ["labels", rest @ ..] => labels_field(&container.labels, rest),
        _ => None,
    }
    .filter(|value| !value.is_empty() || path.first() == Some(&"labels"))
}

fn check(container: &Container) -> Result<()> {
    check_identifier(&container.id).map_err(|e| Error::invalid("container.ID").because(e))?;
    labels::check(&container.labels).map_err(|e| Error::invalid("containers.Labels").because(e))?;
    if container.runtime.as_ref().is_none_or(|runtime| runtime.name.is_empty()) {
        return Err(Error::invalid("container.Runtime.Name must be set"));
    }
    if container.spec.is_none() {
        return Err(Error::invalid("container.Spec must be set"));
    }
    if container.extensions.keys().any(String::is_empty) {
        return Err(Error::invalid("container.Extension keys must not be zero-length"));
    }
    if !container.snapshot_key.is_empty() && container.snapshotter.is_empty() {
        return Err(Error::invalid("container.Snapshotter must be set if container.SnapshotKey is set"));
    }
    Ok(())
}

fn apply(current: &mut Container, new: &Container, paths: &[Path<'_>]) -> Result<()> {
    const ALL: [Path<'static>; 5] = [
        Path::Field("labels"),
        Path::Field("spec"),
        Path::Field("extensions"),
        Path::Field("image"),
        Path::Field("snapshotkey"),
    ];
    if paths.is_empty() {
        if new.snapshotter != current.snapshotter {
            return Err(Error::invalid("container.Snapshotter field is immutable"));
        }
        let name = |c: &Container| c.runtime.as_ref().map(|r| r.name.clone()).unwrap_or_default();
        if name(new) != name(current) {
            return Err(Error::invalid("container.Runtime.Name field is immutable"));
        }
    }
    for path in if paths.is_empty() { &ALL[..] } else { paths } {
        match path {
            Path::Field("labels") => current.labels.clone_from(&new.labels),
            Path::Entry("labels", key) => labels::set(&mut current.labels, key, new.labels.get(*key)),
            Path::Field("spec") => current.spec.clone_from(&new.spec),
            Path::Field("extensions") => current.extensions.clone_from(&new.extensions),
            Path::Entry("extensions", key) => match new.extensions.get(*key) {
                Some(value) => {
                    current.extensions.insert((*key).to_owned(), value.clone());
                }
                None => {
                    current.extensions.remove(*key);
                }
            },
            Path::Field("image") => current.image.clone_from(&new.image),
            Path::Field("snapshotkey" | "snapshot_key") => current.snapshot_key.clone_from(&new.snapshot_key),
            other => {
                return Err(Error::invalid(format!(
                    "cannot update {:?} field on {:?}",
                    other.to_string(),
                    new.id
                )));
            }
        }
    }
    Ok(())
}
