//! `containerd.services.namespaces.v1.Namespaces`.

use proto::containerd::services::namespaces::v1::{
    CreateNamespaceRequest, CreateNamespaceResponse, DeleteNamespaceRequest, GetNamespaceRequest,
    GetNamespaceResponse, ListNamespacesRequest, ListNamespacesResponse, UpdateNamespaceRequest,
    UpdateNamespaceResponse,
};
use proto_services::containerd::services::namespaces::v1::namespaces_server::Namespaces;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::metadata::{Db, field_mask};

/// Namespaces and their labels.
#[derive(Clone, Debug)]
pub struct NamespacesService {
    db: Db,
}

impl NamespacesService {
    /// Serves the namespaces of `db`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

#[tonic::async_trait]
impl Namespaces for NamespacesService {
    async fn get(
        &self,
        request: Request<GetNamespaceRequest>,
    ) -> Result<Response<GetNamespaceResponse>, Status> {
        let (db, name) = (self.db.clone(), request.into_inner().name);
        let namespace = blocking(move || db.namespaces().get(&name)).await?;
        Ok(Response::new(GetNamespaceResponse { namespace: Some(namespace) }))
    }

    async fn list(
        &self,
        _: Request<ListNamespacesRequest>,
    ) -> Result<Response<ListNamespacesResponse>, Status> {
        let db = self.db.clone();
        let namespaces = blocking(move || db.namespaces().list()).await?;
        Ok(Response::new(ListNamespacesResponse { namespaces }))
    }

    async fn create(
        &self,
        request: Request<CreateNamespaceRequest>,
    ) -> Result<Response<CreateNamespaceResponse>, Status> {
        let (db, namespace) = (self.db.clone(), request.into_inner().namespace.unwrap_or_default());
        let namespace = blocking(move || db.namespaces().create(&namespace).map(|()| namespace)).await?;
        Ok(Response::new(CreateNamespaceResponse { namespace: Some(namespace) }))
    }

    async fn update(
        &self,
        request: Request<UpdateNamespaceRequest>,
    ) -> Result<Response<UpdateNamespaceResponse>, Status> {
        let (db, request) = (self.db.clone(), request.into_inner());
        blocking(move || {
            let paths = field_mask::paths(request.update_mask.as_ref());
            db.namespaces().update(&request.namespace.clone().unwrap_or_default(), &paths)
        })
        .await?;
        // containerd answers an empty message, too.
        Ok(Response::new(UpdateNamespaceResponse { namespace: Some(Default::default()) }))
    }

    async fn delete(&self, request: Request<DeleteNamespaceRequest>) -> Result<Response<()>, Status> {
        let (db, name) = (self.db.clone(), request.into_inner().name);
        blocking(move || db.namespaces().delete(&name)).await?;
        Ok(Response::new(()))
    }
}
