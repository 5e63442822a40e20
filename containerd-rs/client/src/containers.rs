//! Container records.

use prost_types::FieldMask;
use proto::containerd::services::containers::v1::{
    Container, CreateContainerRequest, DeleteContainerRequest, GetContainerRequest, ListContainersRequest,
    UpdateContainerRequest,
};

use crate::connect::Client;
use crate::error::Result;

impl Client {
    /// A container's record.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) without one.
    pub async fn container(&self, id: &str) -> Result<Container> {
        let answer = self
            .repeat("get container", id, || {
                let (mut service, request) =
                    (self.containers_service(), self.request(GetContainerRequest { id: id.to_owned() }));
                async move { service.get(request).await }
            })
            .await?;
        Ok(answer.container.unwrap_or_default())
    }

    /// The records that match any of `filters` (all, without filters).
    ///
    /// # Errors
    /// A filter can't be parsed.
    pub async fn containers(&self, filters: &[String]) -> Result<Vec<Container>> {
        let answer = self
            .repeat("list containers", "", || {
                let (mut service, request) = (
                    self.containers_service(),
                    self.request(ListContainersRequest { filters: filters.to_vec() }),
                );
                async move { service.list(request).await }
            })
            .await?;
        Ok(answer.containers)
    }

    /// Creates a record.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`](crate::Kind::AlreadyExists) when there is one of that id.
    pub async fn create_container(&self, container: Container) -> Result<Container> {
        let id = container.id.clone();
        let request = self.request(CreateContainerRequest { container: Some(container) });
        let mut service = self.containers_service();
        Ok(self.once("create container", &id, service.create(request)).await?.container.unwrap_or_default())
    }

    /// Replaces the fields of a record that `paths` name.
    ///
    /// # Errors
    /// There is no such record, or a path can't be changed.
    pub async fn update_container(&self, container: Container, paths: &[&str]) -> Result<Container> {
        let mask = FieldMask { paths: paths.iter().map(|&p| p.to_owned()).collect() };
        let answer = self
            .repeat("update container", &container.id, || {
                let message = UpdateContainerRequest {
                    container: Some(container.clone()),
                    update_mask: Some(mask.clone()),
                };
                let (mut service, request) = (self.containers_service(), self.request(message));
                async move { service.update(request).await }
            })
            .await?;
        Ok(answer.container.unwrap_or_default())
    }

    /// Deletes a record; one that isn't there is as good.
    ///
    /// # Errors
    /// The daemon refuses.
    pub async fn delete_container(&self, id: &str) -> Result<()> {
        let answer = self
            .repeat("delete container", id, || {
                let (mut service, request) =
                    (self.containers_service(), self.request(DeleteContainerRequest { id: id.to_owned() }));
                async move { service.delete(request).await }
            })
            .await;
        match answer {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}
