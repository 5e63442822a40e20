//! Images: names for descriptors.

use proto::containerd::services::images::v1::{Image, ImageCreate, ImageDelete, ImageUpdate};
use proto::containerd::types::Descriptor;
use proto::topics;
use redb::WriteTransaction;

use super::field_mask::Path;
use super::filters::{Filters, labels_field};
use super::leases::{self, Resource};
use super::tables::{self, IMAGES};
use super::{Db, labels, namespaces};
use crate::error::{Error, Result};

/// Access to images' records.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a>(pub(super) &'a Db);

impl Images<'_> {
    /// One image.
    ///
    /// # Errors
    /// Not found.
    pub fn get(&self, ns: &str, name: &str) -> Result<Image> {
        tables::get(&self.0.read()?, IMAGES, ns, name)?
            .ok_or_else(|| Error::not_found(format!("image {name:?}")))
    }

    /// The images of a namespace that `filters` let through.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn list(&self, ns: &str, filters: &Filters) -> Result<Vec<Image>> {
        let mut all: Vec<Image> = tables::list(&self.0.read()?, IMAGES, ns, "")?;
        all.retain(|image| filters.matches(&|path: &[&str]| field(image, path)));
        Ok(all)
    }

    /// Makes a record, held by `lease` if there is one; times are set here.
    ///
    /// # Errors
    /// It exists, a field is missing or wrong, there is no such lease.
    pub fn create(&self, ns: &str, image: Image, lease: Option<&str>) -> Result<Image> {
        let image = self.0.write(|txn| insert(txn, ns, image, lease))?;
        self.announce_created(ns, &image);
        Ok(image)
    }

    /// Makes a record or replaces the target and labels of the one there is.
    ///
    /// # Errors
    /// See [`Images::create`].
    pub fn create_or_update(&self, ns: &str, image: Image, lease: Option<&str>) -> Result<Image> {
        let (image, is_new) =
            self.0.write(|txn| match tables::get::<Image>(txn, IMAGES, ns, &image.name)? {
                None => Ok((insert(txn, ns, image, lease)?, true)),
                Some(current) => Ok((replace(txn, ns, current, &image, &[])?, false)),
            })?;
        if is_new {
            self.announce_created(ns, &image);
        } else {
            self.announce_updated(ns, &image);
        }
        Ok(image)
    }

    /// Changes what `paths` name, or labels and target if there are none.
    ///
    /// # Errors
    /// Not found; a path that may not change; the result isn't valid.
    pub fn update(&self, ns: &str, new: &Image, paths: &[Path<'_>]) -> Result<Image> {
        if new.name.is_empty() {
            return Err(Error::invalid("image name is required for update"));
        }
        let image = self.0.write(|txn| {
            let current = tables::get::<Image>(txn, IMAGES, ns, &new.name)?
                .ok_or_else(|| Error::not_found(format!("image {:?}", new.name)))?;
            replace(txn, ns, current, new, paths)
        })?;
        self.announce_updated(ns, &image);
        Ok(image)
    }

    /// Removes a record; with `target`, only if it still points there.
    ///
    /// # Errors
    /// Not found, also when the target is another one.
    pub fn delete(&self, ns: &str, name: &str, target: Option<&Descriptor>) -> Result<()> {
        self.0.write(|txn| {
            let current = tables::get::<Image>(txn, IMAGES, ns, name)?
                .ok_or_else(|| Error::not_found(format!("image {name:?}")))?;
            if let Some(wanted) = target.filter(|t| !t.digest.is_empty()) {
                let has = current.target.map(|t| t.digest).unwrap_or_default();
                if has != wanted.digest {
                    return Err(Error::not_found(format!(
                        "image {name:?} has target {has}, not {}",
                        wanted.digest
                    )));
                }
            }
            remove(txn, ns, name)
        })?;
        self.0.changes().deleted();
        self.0.events().publish(ns, topics::IMAGE_DELETE, &ImageDelete { name: name.to_owned() });
        Ok(())
    }

    fn announce_created(&self, ns: &str, image: &Image) {
        let event = ImageCreate { name: image.name.clone(), labels: image.labels.clone() };
        self.0.events().publish(ns, topics::IMAGE_CREATE, &event);
    }

    fn announce_updated(&self, ns: &str, image: &Image) {
        // The old target may have been let go.
        self.0.changes().deleted();
        let event = ImageUpdate { name: image.name.clone(), labels: image.labels.clone() };
        self.0.events().publish(ns, topics::IMAGE_UPDATE, &event);
    }
}

/// Removes the record and what leases say of it.
pub(crate) fn remove(txn: &WriteTransaction, ns: &str, name: &str) -> Result<()> {
    tables::remove(txn, IMAGES, ns, name)?;
    leases::forget(txn, ns, &Resource::image(name))
}

fn insert(txn: &WriteTransaction, ns: &str, mut image: Image, lease: Option<&str>) -> Result<Image> {
    check(&image)?;
    namespaces::ensure(txn, ns)?;
    if tables::get::<Image>(txn, IMAGES, ns, &image.name)?.is_some() {
        return Err(Error::already_exists(format!("image {:?}", image.name)));
    }
    leases::hold(txn, ns, lease, &Resource::image(&image.name))?;
    image.created_at = tables::now();
    image.updated_at = image.created_at;
    tables::put(txn, IMAGES, ns, &image.name, &image)?;
    Ok(image)
}

fn replace(
    txn: &WriteTransaction,
    ns: &str,
    mut current: Image,
    new: &Image,
    paths: &[Path<'_>],
) -> Result<Image> {
    let all = [Path::Field("labels"), Path::Field("target")];
    for path in if paths.is_empty() { &all[..] } else { paths } {
        match path {
            Path::Field("labels") => current.labels.clone_from(&new.labels),
            Path::Entry("labels", key) => labels::set(&mut current.labels, key, new.labels.get(*key)),
            Path::Field("target") => current.target.clone_from(&new.target),
            Path::Field("annotations") => {
                let annotations = new.target.as_ref().map(|t| t.annotations.clone()).unwrap_or_default();
                current.target.get_or_insert_default().annotations = annotations;
            }
            Path::Entry("annotations", key) => {
                let value = new.target.as_ref().and_then(|t| t.annotations.get(*key));
                labels::set(&mut current.target.get_or_insert_default().annotations, key, value);
            }
            other => {
                return Err(Error::invalid(format!(
                    "cannot update {:?} field on image {:?}",
                    other.to_string(),
                    new.name
                )));
            }
        }
    }
    check(&current)?;
    current.updated_at = tables::now();
    tables::put(txn, IMAGES, ns, &current.name, &current)?;
    Ok(current)
}

fn field(image: &Image, path: &[&str]) -> Option<String> {
    let target = image.target.as_ref();
    match path {
        ["name"] => Some(image.name.clone()),
        ["target", "digest"] => target.map(|t| t.digest.clone()),
        ["target", "mediatype"] => target.map(|t| t.media_type.clone()),
        ["labels", rest @ ..] => labels_field(&image.labels, rest),
        ["annotations", rest @ ..] => target.and_then(|t| labels_field(&t.annotations, rest)),
        _ => None,
    }
}

fn check(image: &Image) -> Result<()> {
    if image.name.is_empty() {
        return Err(Error::invalid("Image.Name required"));
    }
    labels::check(&image.labels)?;
    let target = image.target.clone().unwrap_or_default();
    if !crate::content::is_digest(&target.digest) {
        return Err(Error::invalid(format!("Target.Digest {:?} not valid", target.digest)));
    }
    if target.size <= 0 {
        return Err(Error::invalid("Target.Size must be greater than zero"));
    }
    if target.media_type.is_empty() {
        return Err(Error::invalid("Target.MediaType must be set"));
    }
    Ok(())
}
