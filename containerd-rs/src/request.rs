//! What every request carries in its metadata: the namespace and the lease.

use tonic::metadata::MetadataMap;

use crate::error::{Error, Result};

const NAMESPACE: &str = "containerd-namespace";
const LEASE: &str = "containerd-lease";
/// Longest name of a namespace, container, task or exec process, in bytes.
const MAX_IDENTIFIER: usize = 76;

/// Where a request acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The namespace; checked to be a valid name.
    pub namespace: String,
    /// The lease that holds what the request creates.
    pub lease: Option<String>,
}

impl Scope {
    /// Reads the scope of a request.
    ///
    /// # Errors
    /// There is no namespace (failed precondition), or it is no valid name (invalid argument).
    pub fn of(metadata: &MetadataMap) -> Result<Self> {
        let text = |key| metadata.get(key).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
        let namespace = text(NAMESPACE).ok_or_else(|| Error::precondition("namespace is required"))?;
        check_identifier(namespace)
            .map_err(|error| Error::new(error.kind(), "namespace validation").because(error))?;
        Ok(Self { namespace: namespace.to_owned(), lease: text(LEASE).map(str::to_owned) })
    }
}

/// Checks a name against containerd's rule: words of letters and digits, joined by `.`, `_` or `-`,
/// 76 bytes at most.
///
/// # Errors
/// Invalid argument, with the pattern that clients show.
pub fn check_identifier(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("identifier must not be empty"));
    }
    if name.len() > MAX_IDENTIFIER {
        return Err(Error::invalid(format!(
            "identifier {name:?} greater than maximum length ({MAX_IDENTIFIER} characters)"
        )));
    }
    let words_are_whole = name
        .split(['.', '_', '-'])
        .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()));
    if !words_are_whole {
        return Err(Error::invalid(format!(
            "identifier {name:?} must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn scope(entries: &[(&'static str, &str)]) -> Result<Scope> {
        let mut metadata = MetadataMap::new();
        for (key, value) in entries {
            metadata.insert(*key, value.parse().expect("ascii"));
        }
        Scope::of(&metadata)
    }

    #[test]
    fn a_request_without_namespace_fails_with_clients_text() {
        let error = scope(&[]).expect_err("no namespace");
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::FailedPrecondition, "namespace is required")
        );
    }

    #[test]
    fn namespace_and_lease_are_read() {
        let scope = scope(&[(NAMESPACE, "k8s.io"), (LEASE, "l1")]).expect("valid");
        assert_eq!(scope, Scope { namespace: "k8s.io".into(), lease: Some("l1".into()) });
    }

    #[test]
    fn names_follow_containerds_pattern() {
        for good in ["a", "moby", "plugins.moby", "a-b_c.d", "0"] {
            assert!(check_identifier(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", "a/b", "ä", &"x".repeat(77)] {
            assert_eq!(check_identifier(bad).expect_err("refused").kind(), Kind::InvalidArgument, "{bad}");
        }
    }
}
