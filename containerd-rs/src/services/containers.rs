//! `containerd.services.containers.v1.Containers`.

use futures::Stream;
use proto::containerd::services::containers::v1::{
    Container, CreateContainerRequest, CreateContainerResponse, DeleteContainerRequest, GetContainerRequest,
    GetContainerResponse, ListContainerMessage, ListContainersRequest, ListContainersResponse,
    UpdateContainerRequest, UpdateContainerResponse,
};
use proto_services::containerd::services::containers::v1::containers_server::Containers;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::error::Result;
use crate::metadata::filters::Filters;
use crate::metadata::{Db, field_mask};
use crate::request::Scope;

/// Containers' records.
#[derive(Clone, Debug)]
pub struct ContainersService {
    db: Db,
}

impl ContainersService {
    /// Serves the containers of `db`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    async fn find(&self, request: Request<ListContainersRequest>) -> Result<Vec<Container>> {
        let scope = Scope::of(request.metadata())?;
        let (db, filters) = (self.db.clone(), Filters::parse(&request.into_inner().filters)?);
        blocking(move || db.containers().list(&scope.namespace, &filters)).await
    }
}

#[tonic::async_trait]
impl Containers for ContainersService {
    async fn get(
        &self,
        request: Request<GetContainerRequest>,
    ) -> std::result::Result<Response<GetContainerResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, id) = (self.db.clone(), request.into_inner().id);
        let container = blocking(move || db.containers().get(&scope.namespace, &id)).await?;
        Ok(Response::new(GetContainerResponse { container: Some(container) }))
    }

    async fn list(
        &self,
        request: Request<ListContainersRequest>,
    ) -> std::result::Result<Response<ListContainersResponse>, Status> {
        let containers = self.find(request).await?;
        Ok(Response::new(ListContainersResponse { containers }))
    }

    type ListStreamStream =
        std::pin::Pin<Box<dyn Stream<Item = std::result::Result<ListContainerMessage, Status>> + Send>>;

    async fn list_stream(
        &self,
        request: Request<ListContainersRequest>,
    ) -> std::result::Result<Response<Self::ListStreamStream>, Status> {
        let all = self.find(request).await?;
        let messages = all.into_iter().map(|c| Ok(ListContainerMessage { container: Some(c) }));
        Ok(Response::new(Box::pin(futures::stream::iter(messages))))
    }

    async fn create(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> std::result::Result<Response<CreateContainerResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, container) = (self.db.clone(), request.into_inner().container.unwrap_or_default());
        let container = blocking(move || db.containers().create(&scope.namespace, container)).await?;
        Ok(Response::new(CreateContainerResponse { container: Some(container) }))
    }

    async fn update(
        &self,
        request: Request<UpdateContainerRequest>,
    ) -> std::result::Result<Response<UpdateContainerResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, request) = (self.db.clone(), request.into_inner());
        let container = blocking(move || {
            let paths = field_mask::paths(request.update_mask.as_ref());
            db.containers().update(&scope.namespace, &request.container.clone().unwrap_or_default(), &paths)
        })
        .await?;
        Ok(Response::new(UpdateContainerResponse { container: Some(container) }))
    }

    async fn delete(
        &self,
        request: Request<DeleteContainerRequest>,
    ) -> std::result::Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, id) = (self.db.clone(), request.into_inner().id);
        blocking(move || db.containers().delete(&scope.namespace, &id)).await?;
        Ok(Response::new(()))
    }
}
