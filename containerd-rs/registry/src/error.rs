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
    /// Credentials are missing or wrong.
    #[error(
        "pull access denied for {object}, repository does not exist or may require authorization: \
         unauthorized: {message}"
    )]
    Unauthorized {
        /// What was asked for.
        object: String,
        /// The registry's words.
        message: String,
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
    let text = deepest.to_string();
    // As Go has it, which clients match on.
    match text.find("Connection refused") {
        Some(_) => "connect: connection refused".to_owned(),
        None => text,
    }
}

/// A URL for people: the query may hold secrets.
pub(crate) fn shown(url: &url::Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// The registry's own words in an error's body: `code: message` of each error.
pub(crate) fn words(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(errors) = serde_json::from_slice::<Errors>(body) else { return String::new() };
    let one = |error: &One| format!("{}: {}", error.code.to_lowercase().replace('_', " "), error.message);
    let text = errors.errors.iter().map(one).collect::<Vec<_>>().join("; ");
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}
