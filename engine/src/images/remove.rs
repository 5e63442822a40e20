//! `DELETE /images/X` and `POST /images/prune`.

use std::collections::HashSet;

use serde::Serialize;

use super::{DANGLING, Image, Images, Use};
use crate::{
    error::{Error, Result},
    filters::Filters,
    id, timestamp,
};

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Removal {
    /// A name is gone.
    Untagged(String),
    /// An image or a layer is gone.
    Deleted(String),
}

impl Images {
    /// Removes a name, and the image with its last name.
    ///
    /// # Errors
    /// 404, or 409 while containers or other names need it.
    pub async fn remove(&self, name: &str, force: bool) -> Result<Vec<Removal>> {
        let (image, stored) = self.lookup(name).await?;
        let users = (self.inner.config.users)(image.id());
        let real: Vec<&String> = image.names.iter().filter(|name| !name.starts_with(DANGLING)).collect();
        match stored {
            Some(stored) if real.len() > 1 => {
                let mut removed = Vec::new();
                self.untag(&image, &stored, &mut removed).await?;
                Ok(removed)
            }
            Some(stored) => {
                if let Some(user) = users.first()
                    && !force
                {
                    return Err(Error::conflict(format!(
                        "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using its referenced image {}",
                        id::short(&user.container),
                        image.short_id()
                    )));
                }
                if users.iter().any(|user| user.running) {
                    // The container's image stays, without a name.
                    let mut removed = Vec::new();
                    self.dangle(&image.target, &stored).await?;
                    self.untag(&image, &stored, &mut removed).await?;
                    return Ok(removed);
                }
                self.delete(&image).await
            }
            None => {
                check_by_id(&image, &users, force)?;
                self.delete(&image).await
            }
        }
    }

    /// Removes untagged images (`dangling` absent or true), or all that no container uses.
    ///
    /// # Errors
    /// An unknown filter.
    pub async fn prune(&self, filters: &Filters) -> Result<(Vec<Removal>, i64)> {
        filters.only(&["dangling", "label", "label!", "until"])?;
        let dangling = filters.flag("dangling")?.unwrap_or(true);
        let until = filters
            .get("until")
            .first()
            .map(|text| timestamp::parse(text))
            .transpose()
            .map_err(Error::invalid)?;
        let (mut removed, mut freed) = (Vec::new(), 0);
        for image in self.all().await? {
            let labels = image.parsed.config.config.labels.clone().into_iter().collect();
            let wanted = (!dangling || image.tags.is_empty())
                && (self.inner.config.users)(image.id()).is_empty()
                && until.is_none_or(|until| super::list::created_nanos(&image) < until)
                && filters.labels(&labels);
            if wanted {
                let before = self.layer_sizes(&image.parsed).await;
                let lines = self.delete(&image).await?;
                let gone: HashSet<&str> = lines
                    .iter()
                    .filter_map(|line| if let Removal::Deleted(id) = line { Some(id.as_str()) } else { None })
                    .collect();
                freed += image
                    .parsed
                    .chain
                    .iter()
                    .zip(before)
                    .filter(|(chain, _)| gone.contains(chain.as_str()))
                    .map(|(_, size)| size)
                    .sum::<i64>();
                removed.extend(lines);
            }
        }
        Ok((removed, freed))
    }

    async fn untag(&self, image: &Image, stored: &str, removed: &mut Vec<Removal>) -> Result<()> {
        self.client().delete_image(stored, false).await?;
        let shown = super::reference_index::shown(stored);
        self.tell("untag", image.id(), &shown);
        removed.push(Removal::Untagged(shown));
        Ok(())
    }

    /// All names, then the image with the layers that no other image has.
    async fn delete(&self, image: &Image) -> Result<Vec<Removal>> {
        let mut removed = Vec::new();
        let mut digests: Vec<&String> = image.digests.iter().collect();
        for name in &image.names {
            if name.starts_with(DANGLING) {
                self.client().delete_image(name, false).await?;
                continue;
            }
            self.untag(image, name, &mut removed).await?;
        }
        digests.sort();
        removed.extend(digests.into_iter().map(|digest| Removal::Untagged(digest.clone())));
        // What nothing holds any more is gone when this returns.
        let lease = self.client().lease(std::time::Duration::from_secs(60)).await?;
        lease.end(true).await?;
        self.tell("delete", image.id(), image.id());
        removed.push(Removal::Deleted(image.id().to_owned()));
        let kept: HashSet<String> =
            self.all().await?.into_iter().flat_map(|other| other.parsed.chain.clone()).collect();
        removed.extend(
            image
                .parsed
                .chain
                .iter()
                .rev()
                .filter(|chain| !kept.contains(*chain))
                .cloned()
                .map(Removal::Deleted),
        );
        Ok(removed)
    }
}

fn check_by_id(image: &Image, users: &[Use], force: bool) -> Result<()> {
    let conflict = |how: &str, why: String| {
        Error::conflict(format!("conflict: unable to delete {} ({how}) - {why}", image.short_id()))
    };
    if let Some(user) = users.iter().find(|user| user.running) {
        let why = format!("image is being used by running container {}", id::short(&user.container));
        return Err(conflict("cannot be forced", why));
    }
    if force {
        return Ok(());
    }
    if let Some(user) = users.first() {
        let why = format!("image is being used by stopped container {}", id::short(&user.container));
        return Err(conflict("must be forced", why));
    }
    if image.repositories() > 1 {
        return Err(conflict("must be forced", "image is referenced in multiple repositories".into()));
    }
    Ok(())
}
