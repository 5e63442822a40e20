//! What can go wrong with a registry. The texts carry what clients look for (`manifest unknown`,
//! `not found`, `connection refused`, `unauthorized`).

use std::error::Error as StdError;

use oci::Digest;

/// A failed step with a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Nobody answers.
    #[error("failed to do request: {method} {url:?}: {cause}")]
    Unreachable {
        /// The request's method.
        method: String,
        /// The request's URL, without its query.
        url: String,
        /// The deepest cause.
        cause: String,
    },
    /// The registry doesn't have it.
    #[error("{object}: not found: {message}")]
    NotFound {
        /// What was asked for.
        object: String,
        /// The registry's words, such as `manifest unknown: manifest unknown`.
        message: String,
    },
    /// Credentials are missing, wrong or not enough.
    #[error("pull access denied, repository does not exist or may require authorization: {cause}")]
    Unauthorized {
        /// The registry's words, or what wasn't shown to it.
        cause: String,
    },
    /// Any other refusal.
    #[error("unexpected status from {method} request to {url}: {status}{message}")]
    Status {
        /// The request's method.
        method: String,
        /// The request's URL, without its query.
        url: String,
        /// The HTTP status.
        status: http::StatusCode,
        /// The registry's words with `: ` in front, or nothing.
        message: String,
    },
    /// The bytes aren't the ones the digest names.
    #[error("{object}: content digest is {actual}, not {expected}")]
    WrongDigest {
        /// What was fetched.
        object: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// A blob or manifest ended early.
    #[error("{object}: unexpected EOF: {got} of {size} bytes came")]
    Truncated {
        /// What was fetched.
        object: String,
        /// Bytes that came.
        got: u64,
        /// Bytes there should be.
        size: u64,
    },
    /// More came than announced, or than is allowed.
    #[error("{object}: more than {limit} bytes came")]
    TooLarge {
        /// What was fetched.
        object: String,
        /// How much is allowed.
        limit: u64,
    },
    /// The answer makes no sense.
    #[error("{url}: {what}")]
    BadAnswer {
        /// The request's URL, without its query.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The configuration of hosts can't be used.
    #[error("configuration of registry hosts: {what}")]
    Configuration {
        /// Which part.
        what: String,
        /// Why.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// What was to be pushed can't be read.
    #[error("read {object}")]
    Source {
        /// The blob.
        object: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// This crate's result.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// The words of the cause at the bottom: they say most.
pub(crate) fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Why nobody could be reached at `url`, as Go has it, which clients match on.
pub(crate) fn unreachable(method: &str, url: &url::Url, error: &(dyn StdError + 'static)) -> RegistryError {
    let host = url.host_str().unwrap_or_default();
    let text = deepest(error);
    let cause = if text.contains("Connection refused") {
        let port = url.port_or_known_default().unwrap_or_default();
        format!("dial tcp {host}:{port}: connect: connection refused")
    } else if text.contains("failed to lookup address") {
        format!("dial tcp: lookup {host}: no such host")
    } else if text.contains("UnknownIssuer") {
        "x509: certificate signed by unknown authority".to_owned()
    } else {
        text
    };
    RegistryError::Unreachable { method: method.to_owned(), url: shown(url), cause }
}

/// A URL for people: the query may hold secrets.
pub(crate) fn shown(url: &url::Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// The registry's own words in an error's body: `code: message` of each error; a token server's `details`.
pub(crate) fn words(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        #[serde(default)]
        errors: Vec<One>,
        #[serde(default)]
        details: String,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(told) = serde_json::from_slice::<Errors>(body) else { return String::new() };
    let one = |error: &One| format!("{}: {}", error.code.to_lowercase().replace('_', " "), error.message);
    let mut text = told.errors.iter().map(one).collect::<Vec<_>>().join("; ");
    if text.is_empty() && !told.details.is_empty() {
        text = format!("unauthorized: {}", told.details);
    }
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
