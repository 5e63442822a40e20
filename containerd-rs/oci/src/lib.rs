//! OCI names and documents: digests, references, platforms, images, chain ids, default specs.

pub mod chain_id;
pub mod digest;
pub mod image;
pub mod media_type;
pub mod platform;
pub mod reference;
pub mod seccomp_default;
pub mod spec;
pub mod user;

pub use chain_id::{chain_id, chain_ids};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use image::{Descriptor, Document, DocumentError, ImageConfig, Index, Manifest};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};
