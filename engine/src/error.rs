//! The daemon's one error type; `api/error.rs` turns it into an HTTP answer.

use std::error::Error as StdError;

/// What sort of failure it is; decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The object doesn't exist: 404.
    NotFound,
    /// The request can't be right in any state: 400.
    InvalidParameter,
    /// The request isn't right in this state: 409.
    Conflict,
    /// Credentials are missing or wrong: 401.
    Unauthorized,
    /// Never allowed for this object: 403.
    Forbidden,
    /// It is so already: 304, without a body.
    NotModified,
    /// This daemon can't do that: 501.
    NotImplemented,
    /// Try again later: 503.
    Unavailable,
    /// Everything else: 500.
    System,
}

/// A failed request: the sentence clients read, and its cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The daemon's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with the text that clients read.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// A failed step of the machine (500) with its cause: `step` names what was tried on what.
    pub fn caused(step: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind: Kind::System, message: step.into(), source: Some(source.into()) }
    }

    /// See [`Kind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// See [`Kind::InvalidParameter`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameter, message)
    }

    /// See [`Kind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// See [`Kind::System`].
    pub fn system(message: impl Into<String>) -> Self {
        Self::new(Kind::System, message)
    }

    /// See [`Kind::NotModified`].
    pub fn not_modified() -> Self {
        Self::new(Kind::NotModified, "")
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same failure under another status.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The sentence and its causes, joined by `: `; what clients get.
    pub fn full_text(&self) -> String {
        proto::status::in_gos_words(&self.chain())
    }

    fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = self.source();
        while let Some(source) = cause {
            if !text.is_empty() {
                text.push_str(": ");
            }
            match source.downcast_ref::<containerd_client::Error>() {
                // The daemon's own words, without the transport's decoration of a status.
                Some(error) => {
                    text.push_str(&error.to_string());
                    text.push_str(": ");
                    text.push_str(error.message());
                    return text;
                }
                None => text.push_str(&source.to_string()),
            }
            cause = source.source();
        }
        text
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<containerd_client::Error> for Error {
    fn from(error: containerd_client::Error) -> Self {
        let kind = if error.kind() == containerd_client::Kind::Unavailable {
            Kind::Unavailable
        } else {
            Kind::System
        };
        Self { kind, message: "containerd".into(), source: Some(error.into()) }
    }
}
