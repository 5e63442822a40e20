//! `containerd.services.images.v1.Images`.

use proto::containerd::services::images::v1::{
    CreateImageRequest, CreateImageResponse, DeleteImageRequest, GetImageRequest, GetImageResponse,
    ListImagesRequest, ListImagesResponse, UpdateImageRequest, UpdateImageResponse,
};
use proto_services::containerd::services::images::v1::images_server::Images;
use tonic::{Request, Response, Status};

use crate::blocking::blocking;
use crate::gc::Collector;
use crate::metadata::filters::Filters;
use crate::metadata::{Db, field_mask};
use crate::request::Scope;

/// Images' records.
#[derive(Clone, Debug)]
pub struct ImagesService {
    db: Db,
    collector: Collector,
}

impl ImagesService {
    /// Serves the images of `db`; a `sync` delete waits for `collector`.
    pub fn new(db: Db, collector: Collector) -> Self {
        Self { db, collector }
    }
}

#[tonic::async_trait]
impl Images for ImagesService {
    async fn get(&self, request: Request<GetImageRequest>) -> Result<Response<GetImageResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, name) = (self.db.clone(), request.into_inner().name);
        let image = blocking(move || db.images().get(&scope.namespace, &name)).await?;
        Ok(Response::new(GetImageResponse { image: Some(image) }))
    }

    async fn list(
        &self,
        request: Request<ListImagesRequest>,
    ) -> Result<Response<ListImagesResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, filters) = (self.db.clone(), Filters::parse(&request.into_inner().filters)?);
        let images = blocking(move || db.images().list(&scope.namespace, &filters)).await?;
        Ok(Response::new(ListImagesResponse { images }))
    }

    async fn create(
        &self,
        request: Request<CreateImageRequest>,
    ) -> Result<Response<CreateImageResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, image) = (self.db.clone(), request.into_inner().image.unwrap_or_default());
        let image =
            blocking(move || db.images().create(&scope.namespace, image, scope.lease.as_deref())).await?;
        Ok(Response::new(CreateImageResponse { image: Some(image) }))
    }

    async fn update(
        &self,
        request: Request<UpdateImageRequest>,
    ) -> Result<Response<UpdateImageResponse>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (db, request) = (self.db.clone(), request.into_inner());
        let image = blocking(move || {
            let paths = field_mask::paths(request.update_mask.as_ref());
            db.images().update(&scope.namespace, &request.image.clone().unwrap_or_default(), &paths)
        })
        .await?;
        Ok(Response::new(UpdateImageResponse { image: Some(image) }))
    }

    async fn delete(&self, request: Request<DeleteImageRequest>) -> Result<Response<()>, Status> {
        let scope = Scope::of(request.metadata())?;
        let (this, request) = (self.clone(), request.into_inner());
        blocking(move || {
            this.db.images().delete(&scope.namespace, &request.name, request.target.as_ref())?;
            if request.sync {
                this.collector.run()?;
            }
            Ok(())
        })
        .await?;
        Ok(Response::new(()))
    }
}
