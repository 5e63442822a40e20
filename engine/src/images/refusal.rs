//! Why a pull failed, in docker's words.

use oci::{Platform, Reference};

use crate::error::Error;

/// Behind this stands why a registry didn't let somebody in.
const DENIED: &str = "may require authorization: ";
/// What containerds say in other words.
const DENIED_TOO: [&str; 4] = ["unauthorized", "authorization failed", "access denied", "denied:"];

/// Docker's status and words for a failure that containerd or the registry's client tells.
pub(super) fn of_pull(reference: &Reference, platform: &Platform, text: &str, is_not_found: bool) -> Error {
    let denied = || {
        let name = reference.familiar_name();
        Error::not_found(format!(
            "pull access denied for {name}, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
        ))
    };
    let lower = text.to_ascii_lowercase();
    if lower.contains("insufficient_scope") || lower.contains("authorization: denied: ") {
        return denied();
    }
    if let Some((_, why)) = text.split_once(DENIED) {
        return Error::system(why.strip_prefix("authorization failed: ").unwrap_or(why));
    }
    if DENIED_TOO.iter().any(|word| lower.contains(word)) {
        return denied();
    }
    if lower.contains("no match for platform") {
        return no_platform(reference, platform);
    }
    if is_not_found {
        let shown = reference.familiar();
        return Error::not_found(format!(
            "manifest for {shown} not found: manifest unknown: manifest unknown"
        ));
    }
    if let Some((_, rest)) = text.split_once(": content digest is ")
        && let Some((_, expected)) = rest.split_once(", not ")
    {
        return Error::system(format!("manifest verification failed for digest {expected}"));
    }
    Error::system(dockers_words(text))
}

/// An index without what was asked for.
pub(super) fn no_platform(reference: &Reference, platform: &Platform) -> Error {
    let Platform { os, architecture, variant, .. } = platform;
    let slash = if variant.is_empty() { "" } else { "/" };
    let name = reference.familiar();
    Error::not_found(format!(
        "no matching manifest for {os}/{architecture}{slash}{variant} in the manifest list entries of {name}: no match for platform in manifest: not found"
    ))
}

/// A registry that couldn't be reached: docker asks for the API's root before all else, so that is what it
/// couldn't get. Any other text stays.
pub(super) fn dockers_words(text: &str) -> String {
    let asked = || {
        let (_, request) = text.split_once("failed to do request: ")?;
        let (root, rest) = request.split_once("/v2/")?;
        let (_, root) = root.split_once('"')?;
        let (path, cause) = rest.split_once("\": ")?;
        let is_first = path.is_empty() || path.contains("/manifests/");
        is_first.then(|| format!("Get \"{root}/v2/\": {}", cause.trim_end_matches(": unavailable")))
    };
    asked().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::dockers_words;

    #[test]
    fn a_registry_that_is_not_there_is_told_as_docker_tells_it() {
        let text = "failed to resolve image x: failed to do request: Head \"https://h:1/v2/a/manifests/1\": \
                    dial tcp h:1: connect: connection refused: unavailable";
        assert_eq!(dockers_words(text), "Get \"https://h:1/v2/\": dial tcp h:1: connect: connection refused");
        let later = "failed to do request: Get \"https://h:1/v2/a/blobs/b\": unexpected EOF";
        assert_eq!(dockers_words(later), later);
    }
}
