//! Image records: a name and the descriptor it points to.

use prost_types::FieldMask;
use proto::containerd::services::images::v1::{
    CreateImageRequest, DeleteImageRequest, GetImageRequest, Image, ListImagesRequest, UpdateImageRequest,
};

use crate::connect::Client;
use crate::error::Result;

impl Client {
    /// The image of a full name.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without one.
    pub async fn image(&self, name: &str) -> Result<Image> {
        let answer = self
            .repeat("get image", name, || {
                let (mut service, request) =
                    (self.images_service(), self.request(GetImageRequest { name: name.to_owned() }));
                async move { service.get(request).await }
            })
            .await?;
        Ok(answer.image.unwrap_or_default())
    }

    /// The images that match any of `filters` (all, without filters).
    ///
    /// # Errors
    /// A filter can't be parsed.
    pub async fn images(&self, filters: &[String]) -> Result<Vec<Image>> {
        let answer = self
            .repeat("list images", "", || {
                let (mut service, request) =
                    (self.images_service(), self.request(ListImagesRequest { filters: filters.to_vec() }));
                async move { service.list(request).await }
            })
            .await?;
        Ok(answer.images)
    }

    /// Creates the image, or points the name it has to the new target.
    ///
    /// # Errors
    /// The daemon refuses the record.
    pub async fn put_image(&self, image: Image) -> Result<Image> {
        let mut service = self.images_service();
        let request = self.request(CreateImageRequest { image: Some(image.clone()), ..Default::default() });
        match self.once("create image", &image.name, service.create(request)).await {
            Ok(answer) => Ok(answer.image.unwrap_or_default()),
            Err(error) if error.is_already_exists() => self.update_image(image, &["target"]).await,
            Err(error) => Err(error),
        }
    }

    /// Replaces the fields of a record that `paths` name.
    ///
    /// # Errors
    /// There is no such image.
    pub async fn update_image(&self, image: Image, paths: &[&str]) -> Result<Image> {
        let mask = FieldMask { paths: paths.iter().map(|&p| p.to_owned()).collect() };
        let answer = self
            .repeat("update image", &image.name, || {
                let message = UpdateImageRequest {
                    image: Some(image.clone()),
                    update_mask: Some(mask.clone()),
                    ..Default::default()
                };
                let (mut service, request) = (self.images_service(), self.request(message));
                async move { service.update(request).await }
            })
            .await?;
        Ok(answer.image.unwrap_or_default())
    }

    /// Deletes an image's record; `sync` waits until what it alone held is gone.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without one.
    pub async fn delete_image(&self, name: &str, sync: bool) -> Result<()> {
        let mut service = self.images_service();
        let message = DeleteImageRequest { name: name.to_owned(), sync, target: None };
        self.once("delete image", name, service.delete(self.request(message))).await
    }
}
