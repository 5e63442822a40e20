//! `Any` values as containerd writes them.
//!
//! A protobuf message's URL is its bare full name: Go's `typeurl.Is` compares the whole string, so
//! the `/` or `type.googleapis.com/` that other libraries put in front is refused. Types of the OCI
//! runtime-spec are registered by path and carried as JSON.

use prost::{DecodeError, Message, Name};
use prost_types::Any;

/// A container's `config.json`, as JSON.
pub const SPEC: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/// The `process` object of an exec, as JSON.
pub const PROCESS: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/// The `linux.resources` object of an update, as JSON.
pub const LINUX_RESOURCES: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
/// A runtime's features document, as JSON.
pub const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// Packs a message under its bare full name.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::full_name(), value: message.encode_to_vec() }
}

/// Says whether `any` holds an `M`, whatever stands before the name.
pub fn is<M: Name>(any: &Any) -> bool {
    any.type_url.rsplit('/').next() == Some(M::full_name().as_str())
}

/// Unpacks an `M`, or says that the value is another type's.
///
/// # Errors
/// The value is of another type or isn't valid protobuf.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, UnpackError> {
    if !is::<M>(any) {
        return Err(UnpackError::Type { wanted: M::full_name(), found: any.type_url.clone() });
    }
    M::decode(any.value.as_slice()).map_err(|source| UnpackError::Decode { wanted: M::full_name(), source })
}

/// Why an `Any` could not be unpacked.
#[derive(Debug)]
pub enum UnpackError {
    /// The value holds another type.
    Type {
        /// Full name of the type asked for.
        wanted: String,
        /// The URL found.
        found: String,
    },
    /// The bytes are no message of that type.
    Decode {
        /// Full name of the type asked for.
        wanted: String,
        /// What the decoder said.
        source: DecodeError,
    },
}

impl std::fmt::Display for UnpackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type { wanted, found } => write!(f, "unpack {wanted}: the value is a {found:?}"),
            Self::Decode { wanted, .. } => write!(f, "unpack {wanted}: the bytes are no such message"),
        }
    }
}

impl std::error::Error for UnpackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Type { .. } => None,
            Self::Decode { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerd::runc::v1::Options;

    #[test]
    fn packed_values_carry_the_bare_name_that_go_compares() {
        let any = pack(&Options { binary_name: "crun".into(), ..Options::default() });
        assert_eq!(any.type_url, "containerd.runc.v1.Options");
        assert_eq!(unpack::<Options>(&any).expect("just packed").binary_name, "crun");
    }

    #[test]
    fn a_prefix_before_the_name_is_accepted() {
        let mut any = pack(&Options::default());
        any.type_url.insert_str(0, "type.googleapis.com/");
        assert!(is::<Options>(&any));
    }

    #[test]
    fn another_type_is_refused_by_name() {
        let any = Any { type_url: SPEC.into(), value: b"{}".to_vec() };
        let error = unpack::<Options>(&any).expect_err("a spec is no Options");
        assert!(error.to_string().contains(SPEC), "{error}");
    }
}
