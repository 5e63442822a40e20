//! One request's failure stays its own: panics become answers, unknown services and methods are named.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::error::as_go_says;

/// Answers a request that panics with status Internal.
#[derive(Clone, Copy, Debug)]
pub(super) struct PanicGuard;

/// A service behind a [`PanicGuard`].
#[derive(Clone, Debug)]
pub(super) struct Guarded<S>(S);

impl<S> Layer<S> for PanicGuard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded(inner)
    }
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = request.uri().path().to_owned();
        tracing::debug!(%method, "request");
        let answer = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        Box::pin(async move {
            let Ok(answer) = answer.await else {
                tracing::error!(%method, "the request panicked");
                let text = format!("{method} failed by a mistake of the daemon's");
                return Ok(Status::internal(text).into_http());
            };
            let answer = answer?;
            Ok(match Status::from_header_map(answer.headers()) {
                Some(status) if status.code() == Code::Unimplemented && status.message().is_empty() => {
                    unknown_method(&method).into_http()
                }
                Some(status) if status.code() == Code::OutOfRange => as_go_says(status).into_http(),
                _ => answer,
            })
        })
    }
}

/// A method that a service lacks, in the words of Go's gRPC.
fn unknown_method(path: &str) -> Status {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    Status::unimplemented(format!("unknown method {method} for service {service}"))
}

/// Answers for services the daemon doesn't have, in the words of Go's gRPC.
pub(super) async fn unknown_service<B>(request: Request<B>) -> Result<Response<Body>, Infallible> {
    let mut words = request.uri().path().trim_start_matches('/').split('/');
    let service = words.next().unwrap_or_default();
    Ok(Status::unimplemented(format!("unknown service {service}")).into_http())
}
