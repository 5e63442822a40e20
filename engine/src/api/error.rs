//! A domain error's HTTP answer.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::error::{Error, Kind};

/// Go's client compares the type for equality: a charset behind it makes users see raw JSON.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Kind {
    /// The HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::InvalidParameter => StatusCode::BAD_REQUEST,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::System => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.kind() == Kind::NotModified {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        if self.kind() == Kind::System {
            tracing::warn!(error = self.full_text(), "a request failed");
        }
        message(self.kind().status(), &self.full_text())
    }
}

/// An error answer: `{"message":…}` and one LF.
pub(crate) fn message(status: StatusCode, text: &str) -> Response {
    json_body(status, &json!({ "message": text }))
}

/// A JSON answer as dockerd writes it: compact, ended by one LF.
pub(crate) fn json_body<T: serde::Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, JSON);
            response
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
