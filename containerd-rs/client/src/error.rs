//! What a call can end in.

use tonic::{Code, Status};

/// The client's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The sort of a failure, as containerd tells it by its gRPC code.
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
    /// The daemon lacks this call.
    Unimplemented,
    /// The daemon is away, or the object is locked by another.
    Unavailable,
    /// Everything else.
    Other,
}

/// A call that failed: which, on what, and the daemon's answer as its source.
#[derive(Debug, thiserror::Error)]
#[error("{call} {object}")]
pub struct Error {
    call: &'static str,
    object: String,
    #[source]
    status: Box<Status>,
}

impl Error {
    pub(crate) fn new(call: &'static str, object: impl Into<String>, status: Status) -> Self {
        Self { call, object: object.into(), status: Box::new(status) }
    }

    /// The failure's kind.
    pub fn kind(&self) -> Kind {
        match self.status.code() {
            Code::NotFound => Kind::NotFound,
            Code::AlreadyExists => Kind::AlreadyExists,
            Code::InvalidArgument => Kind::InvalidArgument,
            Code::FailedPrecondition => Kind::FailedPrecondition,
            Code::Unimplemented => Kind::Unimplemented,
            Code::Unavailable => Kind::Unavailable,
            _ => Kind::Other,
        }
    }

    /// The daemon's own words.
    pub fn message(&self) -> &str {
        self.status.message()
    }

    /// The object doesn't exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == Kind::NotFound
    }

    /// An object of that name exists.
    pub fn is_already_exists(&self) -> bool {
        self.kind() == Kind::AlreadyExists
    }

    /// The connection broke, or could not be made: the daemon said nothing at all.
    pub fn is_transport(&self) -> bool {
        is_transport(&self.status)
    }
}

/// An answer of the daemon has no source; a broken connection has one.
pub(crate) fn is_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}
