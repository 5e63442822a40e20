//! Answers that are no: what they mean, in which words.

use http::header::WWW_AUTHENTICATE;
use http::{Method, StatusCode};
use reqwest::Response;
use url::Url;

use crate::error::{RegistryError, shown, words};

/// Most bytes of an error's body that are read.
const MAX_ERROR_BODY: usize = 64 << 10;

/// The error that a refusing answer stands for.
pub(crate) async fn refusal(answer: Response, method: &Method, object: &str) -> RegistryError {
    let (status, url) = (answer.status(), shown(answer.url()));
    let is_scope_short = challenges(&answer).iter().any(|text| text.contains("error=\"insufficient_scope\""));
    let mut answer = answer;
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ERROR_BODY {
            break;
        }
    }
    let message = words(&body);
    let or = |fallback: &str| if message.is_empty() { fallback.to_owned() } else { message.clone() };
    let object = object.to_owned();
    match status {
        StatusCode::NOT_FOUND => {
            RegistryError::NotFound { object, message: or("manifest unknown: manifest unknown") }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if is_scope_short => {
            let cause = "server message: insufficient_scope: authorization failed".to_owned();
            RegistryError::Unauthorized { cause }
        }
        StatusCode::UNAUTHORIZED => {
            RegistryError::Unauthorized { cause: or("unauthorized: authentication required") }
        }
        StatusCode::FORBIDDEN => {
            RegistryError::Unauthorized { cause: or("denied: requested access to the resource is denied") }
        }
        _ => {
            let message = if message.is_empty() { message } else { format!(": {message}") };
            RegistryError::Status { method: title(method), url, status, message }
        }
    }
}

/// The challenges of an answer.
pub(crate) fn challenges(answer: &Response) -> Vec<String> {
    let values = answer.headers().get_all(WWW_AUTHENTICATE).iter();
    values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
}

/// `Get`, `Head`: as Go writes methods in errors.
pub(crate) fn title(method: &Method) -> String {
    let text = method.as_str().to_ascii_lowercase();
    text[..1].to_uppercase() + &text[1..]
}

/// Names the request that couldn't be authorized.
pub(crate) fn of_request(method: &Method, url: &Url, error: RegistryError) -> RegistryError {
    match error {
        RegistryError::Unauthorized { cause } => {
            RegistryError::Unauthorized { cause: format!("{} {:?}: {cause}", title(method), shown(url)) }
        }
        other => other,
    }
}
