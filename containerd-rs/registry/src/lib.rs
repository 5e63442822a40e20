//! OCI distribution client: hosts, credentials, resolve and fetch with resume.
//!
//! The protocol is the OCI distribution-spec's. Credentials go to the host they were asked for and
//! never follow a redirect to another.

mod auth;
mod client;
mod error;

pub use auth::{Challenge, Credential, CredentialSource};
pub use client::{Client, Options};
pub use error::{RegistryError, Result};
