//! `POST /images/X/tag`.

use oci::Reference;
use proto::containerd::{services::images::v1 as api, types::Descriptor};

use super::{DANGLING, Images};
use crate::error::{Error, Result};

impl Images {
    /// Gives an image one more name. A name that another image had is taken from it.
    ///
    /// # Errors
    /// 404 for the image, 400 for the name.
    pub async fn tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        let image = self.resolve(name).await?;
        let wanted: Reference =
            repository.parse().map_err(|error: oci::ReferenceError| Error::invalid(error.to_string()))?;
        if wanted.digest().is_some() {
            return Err(Error::invalid("refusing to create a tag with a digest reference"));
        }
        let wanted = match (tag, wanted.tag()) {
            ("", _) => wanted.with_default_tag(),
            (tag, _) => {
                wanted.with_tag(tag).map_err(|_| Error::invalid(format!("invalid tag format: \"{tag}\"")))?
            }
        };
        self.point(&wanted.to_string(), &image.target).await?;
        self.undangle(&image.target).await?;
        self.tell("tag", image.id(), &wanted.familiar());
        Ok(())
    }

    /// Points a name to a target; what it pointed to before stays, without a name if it has no other.
    pub(super) async fn point(&self, name: &str, target: &Descriptor) -> Result<()> {
        self.keep_replaced(name, target).await?;
        let image =
            api::Image { name: name.to_owned(), target: Some(target.clone()), ..api::Image::default() };
        self.client().put_image(image).await?;
        Ok(())
    }

    /// Keeps what `name` points to, if that is something else than `target`, as an untagged image.
    pub(super) async fn keep_replaced(&self, name: &str, target: &Descriptor) -> Result<()> {
        let old = match self.client().image(name).await {
            Ok(image) => image.target,
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        match old {
            Some(old) if old.digest != target.digest => self.dangle(&old, name).await,
            _ => Ok(()),
        }
    }

    /// Keeps a target as an untagged image unless a name other than `but` has it.
    pub(super) async fn dangle(&self, target: &Descriptor, but: &str) -> Result<()> {
        let others = self.client().images(&[format!("target.digest=={}", target.digest)]).await?;
        if others.iter().any(|image| image.name != but) {
            return Ok(());
        }
        self.keep(target).await
    }

    /// Gives a target the name that untagged images have.
    pub(super) async fn keep(&self, target: &Descriptor) -> Result<()> {
        let name = format!("{DANGLING}{}", target.digest);
        let image = api::Image { name, target: Some(target.clone()), ..api::Image::default() };
        self.client().put_image(image).await?;
        Ok(())
    }

    /// Takes the name of an untagged image away once there is a real one.
    pub(super) async fn undangle(&self, target: &Descriptor) -> Result<()> {
        match self.client().delete_image(&format!("{DANGLING}{}", target.digest), false).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}
