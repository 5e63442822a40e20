//! `grpc.health.v1.Health`: whoever gets an answer is served.

use futures::stream::{self, BoxStream, StreamExt};
use proto::grpc::health::v1::health_check_response::ServingStatus;
use proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use proto_services::grpc::health::v1::health_server::Health;
use tonic::{Request, Response, Status};

/// Says that the daemon serves.
#[derive(Clone, Copy, Debug)]
pub struct HealthService;

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving as i32 }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(serving()))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        // The state never changes while the connection lives.
        Ok(Response::new(stream::once(async { Ok(serving()) }).chain(stream::pending()).boxed()))
    }
}
