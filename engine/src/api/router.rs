//! All routes, and what is the same for each: version, headers, clean paths, unknown pages.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tower::Layer;

use super::daemon::Daemon;
use super::version::{self, MAXIMUM, Split};
use super::{containers, disk_usage, error, events, exec, images, networks, system, volumes};

/// The whole API as one service.
pub fn service(
    daemon: &Daemon,
) -> impl tower::Service<Request, Response = Response, Error = std::convert::Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let routes = Router::new()
        .merge(system::router(daemon.clone()))
        .merge(disk_usage::router(daemon.clone()))
        .merge(events::router(daemon.events.clone()))
        .merge(containers::router(daemon.containers.clone()))
        .merge(exec::router(daemon.containers.clone()))
        .merge(images::router(daemon.images.clone()))
        .merge(volumes::router(daemon.volumes.clone()))
        .merge(networks::router(daemon.network_context()))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found);
    // Outside of the router: it changes the path that routes are chosen by.
    middleware::from_fn(around).layer(routes)
}

async fn not_found() -> Response {
    error::message(StatusCode::NOT_FOUND, "page not found")
}

async fn around(request: Request, next: Next) -> Response {
    let mut response = inner(request, next).await;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &str); 3] = [
        (HeaderName::from_static("docker-experimental"), "false"),
        (HeaderName::from_static("ostype"), "linux"),
        (header::SERVER, "Docker/28.5.2 (linux)"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(version) = HeaderValue::from_str(&MAXIMUM.to_string()) {
        headers.insert("api-version", version);
    }
    response
}

async fn inner(mut request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        return StatusCode::OK.into_response();
    }
    let bad =
        [request.uri().path(), request.uri().query().unwrap_or_default()].into_iter().find_map(bad_escape);
    if let Some(escape) = bad {
        return error::message(StatusCode::BAD_REQUEST, &format!("invalid URL escape {escape:?}"));
    }
    let path = request.uri().path();
    if let Some(clean) = cleaned(path) {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        return match HeaderValue::from_str(&format!("{clean}{query}")) {
            Ok(location) => (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response(),
            Err(_) => error::message(StatusCode::BAD_REQUEST, "bad path"),
        };
    }
    let (version, rest) = match version::split(path) {
        Split::Path(version, rest) => (version, rest.to_owned()),
        // Below 1.24 errors were plain text, and so is this one.
        Split::Refused(status, text) if text.contains("too old") => {
            let mut response = Response::new(Body::from(text + "\n"));
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            response
                .headers_mut()
                .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            return response;
        }
        Split::Refused(status, text) => return error::message(status, &text),
    };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    match format!("{rest}{query}").parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return error::message(StatusCode::NOT_FOUND, "page not found"),
    }
    request.extensions_mut().insert(version);
    next.run(request).await
}

/// The first `%` that two hexadecimal digits don't follow, with what follows.
fn bad_escape(text: &str) -> Option<&str> {
    let is_bad = |at: &usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        digits.is_none_or(|digits| !digits.iter().all(u8::is_ascii_hexdigit))
    };
    let at = text.match_indices('%').map(|(at, _)| at).find(is_bad)?;
    // A URI is ASCII.
    text.get(at..(at + 3).min(text.len()))
}

/// A path with doubled slashes, cleaned; none if it is clean.
fn cleaned(path: &str) -> Option<String> {
    if !path.contains("//") && !path.contains("/%2F") && !path.contains("/%2f") {
        return None;
    }
    let mut clean = path.replace("/%2F", "/").replace("/%2f", "/");
    while clean.contains("//") {
        clean = clean.replace("//", "/");
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_that_are_none_are_found() {
        assert_eq!(bad_escape("/a%2Fb%zz"), Some("%zz"));
        assert_eq!(bad_escape("x=%4"), Some("%4"));
        assert_eq!(bad_escape("/a%2Fb"), None);
    }

    #[test]
    fn doubled_slashes_are_cleaned() {
        assert_eq!(cleaned("/v1.41//containers///json").as_deref(), Some("/v1.41/containers/json"));
        assert_eq!(cleaned("/containers/%2Fweb/json").as_deref(), Some("/containers/web/json"));
        assert_eq!(cleaned("/containers/json"), None);
    }
}
