//! What can go wrong between us and a registry.

/// A failed step against a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The request got no answer: the host is unknown, unreachable, or its TLS isn't trusted.
    #[error("failed to do request: {method} {url}")]
    Unreachable {
        /// The HTTP method.
        method: &'static str,
        /// The URL asked.
        url: String,
        /// What the transport said.
        #[source]
        source: reqwest::Error,
    },
    /// The registry doesn't have it.
    #[error("{0}: not found")]
    NotFound(String),
    /// The registry wants other credentials.
    #[error(
        "pull access denied for {name}, repository does not exist or may require authorization: {detail}"
    )]
    Unauthorized {
        /// Repository.
        name: String,
        /// The registry's own words.
        detail: String,
    },
    /// Another status than the protocol knows here.
    #[error("unexpected status from {method} request to {url}: {status}: {detail}")]
    Status {
        /// The HTTP method.
        method: &'static str,
        /// The URL asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own words.
        detail: String,
    },
    /// The answer isn't what the protocol demands.
    #[error("bad answer from {url}: {reason}")]
    Protocol {
        /// The URL asked.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The client can't be set up.
    #[error("set up the HTTP client")]
    Setup(#[source] reqwest::Error),
}

/// A registry's result.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;
