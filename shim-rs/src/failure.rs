//! A call that failed, as the daemon will see it.

use std::fmt;

use proto::status::{Code, in_gos_words};

/// Code and text of an answer. Clients match on both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: in_gos_words(&message.into()) }
    }

    /// What Go's shim answers for everything that has no kind of its own.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::new(Code::Unknown, message)
    }

    pub(crate) fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("{what}: not found"))
    }

    pub(crate) fn precondition(what: impl fmt::Display) -> Self {
        Self::new(Code::FailedPrecondition, format!("{what}: failed precondition"))
    }

    pub(crate) fn invalid(what: impl fmt::Display) -> Self {
        Self::new(Code::InvalidArgument, format!("{what}: invalid argument"))
    }

    pub(crate) fn exists(what: impl fmt::Display) -> Self {
        Self::new(Code::AlreadyExists, format!("{what}: already exists"))
    }

    /// A system call that failed: what was done, to what, and why.
    pub(crate) fn io(step: &str, object: impl fmt::Display, source: impl fmt::Display) -> Self {
        Self::unknown(format!("{step} {object}: {source}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
