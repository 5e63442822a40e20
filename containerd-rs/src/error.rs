//! The daemon's one error type, and the one place that turns it into a gRPC status.
//!
//! A message is a sentence about the object; the kind's own words are put behind it as containerd
//! does (`image "x": not found`), because clients match on both.

use std::error::Error as StdError;

use proto::status::in_gos_words;
use tonic::{Code, Status};

/// What sort of failure it is; decides the gRPC code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The object doesn't exist.
    NotFound,
    /// An object of that name exists.
    AlreadyExists,
    /// The request can't be right in any state.
    InvalidArgument,
    /// The request isn't right in this state.
    FailedPrecondition,
    /// Try again later.
    Unavailable,
    /// This daemon can't do that.
    Unimplemented,
    /// An offset or size outside the object.
    OutOfRange,
    /// The caller may not.
    PermissionDenied,
    /// Given up half-way.
    Aborted,
    /// The time given was up.
    DeadlineExceeded,
    /// The caller went away.
    Canceled,
    /// Something is damaged.
    DataLoss,
    /// Everything else; shown as it is.
    Unknown,
}

impl Kind {
    fn code_and_words(self) -> (Code, &'static str) {
        match self {
            Self::NotFound => (Code::NotFound, "not found"),
            Self::AlreadyExists => (Code::AlreadyExists, "already exists"),
            Self::InvalidArgument => (Code::InvalidArgument, "invalid argument"),
            Self::FailedPrecondition => (Code::FailedPrecondition, "failed precondition"),
            Self::Unavailable => (Code::Unavailable, "unavailable"),
            Self::Unimplemented => (Code::Unimplemented, "not implemented"),
            Self::OutOfRange => (Code::OutOfRange, "out of range"),
            Self::PermissionDenied => (Code::PermissionDenied, "permission denied"),
            Self::Aborted => (Code::Aborted, "aborted"),
            Self::DeadlineExceeded => (Code::DeadlineExceeded, "context deadline exceeded"),
            Self::Canceled => (Code::Cancelled, "context canceled"),
            Self::DataLoss => (Code::DataLoss, "data loss"),
            Self::Unknown => (Code::Unknown, ""),
        }
    }
}

/// A failed step: what was tried, on what, and why.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The daemon's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`. `message` names the step and the object, without the kind's words.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An error of kind [`Kind::Unknown`] with its cause: `step` names what was tried on what.
    pub fn caused(step: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind: Kind::Unknown, message: step.into(), source: Some(source.into()) }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// See [`Kind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// See [`Kind::AlreadyExists`].
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(Kind::AlreadyExists, message)
    }

    /// See [`Kind::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidArgument, message)
    }

    /// See [`Kind::FailedPrecondition`].
    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(Kind::FailedPrecondition, message)
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
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

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, words) = error.kind.code_and_words();
        let mut text = error.message.clone();
        let mut cause = error.source();
        while let Some(source) = cause {
            text.push_str(": ");
            text.push_str(&source.to_string());
            cause = source.source();
        }
        text = in_gos_words(&text);
        if !words.is_empty() && !text.ends_with(words) {
            text.push_str(": ");
            text.push_str(words);
        }
        Status::new(code, text)
    }
}

/// A status of tonic's own in the code and words of Go's gRPC, which clients know; others as they are.
pub fn as_go_says(status: Status) -> Status {
    let Some(sizes) = status.message().strip_prefix("Error, decoded message length too large: found ") else {
        return status;
    };
    let mut numbers = sizes.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let (found, limit) = (numbers.next().unwrap_or("?"), numbers.next().unwrap_or("?"));
    Status::resource_exhausted(format!("grpc: received message larger than max ({found} vs. {limit})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_object_cause_and_kind_once() {
        let status = Status::from(Error::not_found("image \"x\""));
        assert_eq!((status.code(), status.message()), (Code::NotFound, "image \"x\": not found"));
        let status = Status::from(Error::not_found("blob gone: not found"));
        assert_eq!(status.message(), "blob gone: not found");
        let full = std::io::Error::from_raw_os_error(28);
        let status = Status::from(Error::caused("write ingest r1", full));
        assert_eq!(status.code(), Code::Unknown);
        assert!(status.message().starts_with("write ingest r1: no space left on device"), "{status:?}");
    }
}
