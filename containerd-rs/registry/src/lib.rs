//! OCI distribution client: hosts, credentials, fetch with resume, push.
//!
//! [`Client`] knows how registries are reached; [`Repository`] is one repository there. Blobs come as
//! a [`Body`], which resumes by itself when a connection breaks. Authorization and configured headers
//! only ever go to the origin they belong to: never along a redirect or to a URL named by a manifest.

mod auth;
mod client;
mod error;
mod fetch;
mod headers;
mod hosts;
mod login;
mod push;
mod refusal;
mod resolve;
mod retry;

pub use auth::{CredentialSource, Credentials, NoCredentials, StaticCredentials};
pub use client::{Client, Repository, Settings};
pub use error::{RegistryError, Result};
pub use fetch::Body;
pub use push::{BlobSource, Pushed};
