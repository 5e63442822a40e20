//! `containerd.services.leases.v1.Leases`.

use std::time::SystemTime;

use proto::containerd::services::leases::v1::{
    AddResourceRequest, CreateRequest, CreateResponse, DeleteRequest, DeleteResourceRequest, ListRequest,
    ListResourcesRequest, ListResourcesResponse, ListResponse, Resource as Message,
};
use proto_services::containerd::services::leases::v1::leases_server::Leases;
use rand::RngExt;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::gc::Collector;
use crate::metadata::filters::Filters;
use crate::metadata::{Db, Resource};
use crate::request::Scope;

/// Leases and what they hold.
#[derive(Clone, Debug)]
pub struct LeasesService {
    db: Db,
    collector: Collector,
}

impl LeasesService {
    /// Serves the leases of `db`; a `sync` delete waits for `collector`.
    pub fn new(db: Db, collector: Collector) -> Self {
        Self { db, collector }
    }
}

/// An id for a lease whose client gave none: nanoseconds and four random characters.
fn new_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let nanos = SystemTime::UNIX_EPOCH.elapsed().map(|since| since.subsec_nanos()).unwrap_or_default();
    let mut random = rand::rng();
    let tail: String = (0..4).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect();
    format!("{nanos:09}-{tail}")
}

fn resource(message: Option<Message>) -> crate::error::Result<Resource> {
    let message = message.unwrap_or_default();
    Resource::parse(&message.r#type, &message.id)
}

#[tonic::async_trait]
impl Leases for LeasesService {
    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<CreateResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, mut request) = (self.db.clone(), request.into_inner());
        if request.id.is_empty() {
            request.id = new_id();
        }
        let lease =
            blocking(move || db.leases().create(&scope.namespace, &request.id, request.labels)).await?;
        Ok(Response::new(CreateResponse { lease: Some(lease) }))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (this, request) = (self.clone(), request.into_inner());
        blocking(move || {
            this.db.leases().delete(&scope.namespace, &request.id)?;
            if request.sync {
                this.collector.run()?;
            }
            Ok(())
        })
        .await?;
        Ok(Response::new(()))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, filters) = (self.db.clone(), Filters::parse(&request.into_inner().filters)?);
        let leases = blocking(move || db.leases().list(&scope.namespace, &filters)).await?;
        Ok(Response::new(ListResponse { leases }))
    }

    async fn add_resource(&self, request: Request<AddResourceRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, request) = (self.db.clone(), request.into_inner());
        let resource = resource(request.resource)?;
        blocking(move || db.leases().add_resource(&scope.namespace, &request.id, &resource)).await?;
        Ok(Response::new(()))
    }

    async fn delete_resource(&self, request: Request<DeleteResourceRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, request) = (self.db.clone(), request.into_inner());
        let resource = resource(request.resource)?;
        blocking(move || db.leases().delete_resource(&scope.namespace, &request.id, &resource)).await?;
        Ok(Response::new(()))
    }

    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<ListResourcesResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, id) = (self.db.clone(), request.into_inner().id);
        let held = blocking(move || db.leases().resources(&scope.namespace, &id)).await?;
        let resources = held.into_iter().map(|r| Message { id: r.id, r#type: r.kind }).collect();
        Ok(Response::new(ListResourcesResponse { resources }))
    }
}
