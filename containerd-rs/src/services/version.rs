//! `containerd.services.version.v1.Version`.

use proto::containerd::services::version::v1::VersionResponse;
use proto_services::containerd::services::version::v1::version_server::Version;
use tonic::{Request, Response, Status};

/// Says which version runs.
#[derive(Clone, Copy, Debug)]
pub struct VersionService;

#[tonic::async_trait]
impl Version for VersionService {
    async fn version(&self, _: Request<()>) -> Result<Response<VersionResponse>, Status> {
        Ok(Response::new(VersionResponse {
            version: crate::VERSION.to_owned(),
            revision: crate::REVISION.to_owned(),
        }))
    }
}
