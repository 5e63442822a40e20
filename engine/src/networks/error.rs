//! What can go wrong with networks, in the words docker's clients know, and the HTTP status of each.

use std::{error::Error as StdError, net::IpAddr};

/// A failed network request. `Display` is the text clients get, [`Error::status`] its HTTP status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No network of that id, name or id prefix.
    #[error("network {0} not found")]
    NotFound(String),
    /// Several networks fit.
    #[error("network {name} is ambiguous ({matches} matches found {by})")]
    Ambiguous {
        /// As typed.
        name: String,
        /// How many fit.
        matches: usize,
        /// `on name` or `based on ID prefix`.
        by: &'static str,
    },
    /// The name is taken.
    #[error("network with name {0} already exists")]
    NameTaken(String),
    /// An endpoint is still there.
    #[error("error while removing network: network {name} id {id} has active endpoints{endpoints}")]
    InUse {
        /// The network's name.
        name: String,
        /// The network's id.
        id: String,
        /// ` (name:"r1" id:"12bcf14759dc")`.
        endpoints: String,
    },
    /// bridge, host and none stay.
    #[error("{0} is a pre-defined network and cannot be removed")]
    Predefined(String),
    /// Nobody can make a second bridge, host or none. The blank at the end is docker's.
    #[error("operation is not permitted on predefined {0} network ")]
    PredefinedCreate(String),
    /// The driver does not exist.
    #[error("plugin \"{0}\" not found")]
    UnknownDriver(String),
    /// The subnet is used by another network or a route of the host.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    PoolOverlaps,
    /// No default pool is left.
    #[error("all predefined address pools have been fully subnetted")]
    PoolsExhausted,
    /// No address is left in a subnet.
    #[error("no available IPv4 addresses on this network's address pools: {name} ({id})")]
    AddressesExhausted {
        /// The network's name.
        name: String,
        /// The network's id.
        id: String,
    },
    /// A static address that somebody has.
    #[error("Address already in use")]
    AddressInUse(IpAddr),
    /// A setting is wrong; the text says which.
    #[error("{0}")]
    Invalid(String),
    /// Not allowed for this network or container; the text says why.
    #[error("{0}")]
    Forbidden(String),
    /// The state of something forbids it.
    #[error("{0}")]
    Conflict(String),
    /// The container has an endpoint there already.
    #[error("endpoint with name {container} already exists in network {network}")]
    AlreadyConnected {
        /// The container's name.
        container: String,
        /// The network's name.
        network: String,
    },
    /// The container has no endpoint there.
    #[error("container {container} is not connected to the network {network}")]
    NotConnected {
        /// The container's id or name.
        container: String,
        /// The network's name.
        network: String,
    },
    /// A published port can't be had.
    #[error("driver failed programming external connectivity on endpoint {endpoint} ({id}): {reason}")]
    Port {
        /// The container's name.
        endpoint: String,
        /// The endpoint's id.
        id: String,
        /// `Bind for 0.0.0.0:80 failed: port is already allocated`.
        reason: String,
    },
    /// A step failed in the kernel or on disk.
    #[error("{step} {object}: {}", source.to_string())]
    System {
        /// What was tried.
        step: &'static str,
        /// On what.
        object: String,
        /// Why it failed.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// The HTTP status that docker's daemon answers with.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Error::NotFound(_) | Error::UnknownDriver(_) => 404,
            Error::Ambiguous { .. } | Error::Invalid(_) => 400,
            Error::NameTaken(_) | Error::Conflict(_) => 409,
            Error::InUse { .. }
            | Error::Predefined(_)
            | Error::PredefinedCreate(_)
            | Error::PoolOverlaps
            | Error::AddressInUse(_)
            | Error::Forbidden(_)
            | Error::AlreadyConnected { .. } => 403,
            Error::PoolsExhausted
            | Error::AddressesExhausted { .. }
            | Error::NotConnected { .. }
            | Error::Port { .. }
            | Error::System { .. } => 500,
        }
    }
}

/// Names the step and the object of a failure.
pub(super) trait Step<T> {
    fn step(self, step: &'static str, object: impl Into<String>) -> Result<T, Error>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Step<T> for Result<T, E> {
    fn step(self, step: &'static str, object: impl Into<String>) -> Result<T, Error> {
        self.map_err(|error| Error::System { step, object: object.into(), source: error.into() })
    }
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> Self {
        use crate::error::Kind;
        let kind = match error.status() {
            400 => Kind::InvalidParameter,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            409 => Kind::Conflict,
            _ => Kind::System,
        };
        match error {
            Error::System { step, object, source } => Self::caused(format!("{step} {object}"), source),
            other => Self::new(kind, other.to_string()),
        }
    }
}
