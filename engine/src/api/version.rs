//! API versions: the one in the path, and the headers of every answer.

use http::StatusCode;

/// The engine's version, as clients parse it.
pub const ENGINE_VERSION: &str = "28.5.2";
/// The newest API version spoken, and announced.
pub const MAXIMUM: Version = Version(51);
/// The oldest API version spoken.
pub const MINIMUM: Version = Version(24);

/// The minor number of an API version 1.x. Handlers take it from the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// A path without its version, or why the version can't be served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Split<'a> {
    /// The version to answer in, and the rest of the path.
    Path(Version, &'a str),
    /// Status and message; too old a version gets plain text.
    Refused(StatusCode, String),
}

/// Splits `/v1.41/containers/json`.
pub(crate) fn split(path: &str) -> Split<'_> {
    let Some((head, rest)) =
        path.strip_prefix("/v").map(|tail| tail.split_at(tail.find('/').unwrap_or(tail.len())))
    else {
        return Split::Path(MAXIMUM, path);
    };
    // `/version` and `/volumes` start with a v too.
    if head.is_empty() || !head.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Split::Path(MAXIMUM, path);
    }
    let number = |text: &str| if text.is_empty() { 0 } else { text.parse().unwrap_or(u16::MAX) };
    let mut numbers = head.split('.').map(number);
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if (major, minor) > (1, MAXIMUM.0) {
        let text = format!("client version {head} is too new. Maximum supported API version is {MAXIMUM}");
        return Split::Refused(StatusCode::BAD_REQUEST, text);
    }
    if (major, minor) < (1, MINIMUM.0) {
        let text = format!(
            "client version {head} is too old. Minimum supported API version is {MINIMUM}, please upgrade your client to a newer version"
        );
        return Split::Refused(StatusCode::BAD_REQUEST, text);
    }
    Split::Path(Version(minor), if rest.is_empty() { "/" } else { rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_optional_and_comes_off() {
        assert_eq!(split("/v1.41/containers/json"), Split::Path(Version(41), "/containers/json"));
        assert_eq!(split("/version"), Split::Path(MAXIMUM, "/version"));
        assert_eq!(split("/volumes"), Split::Path(MAXIMUM, "/volumes"));
        assert_eq!(split("/vx/version"), Split::Path(MAXIMUM, "/vx/version"));
    }

    #[test]
    fn versions_out_of_range_are_refused_in_dockers_words() {
        let Split::Refused(_, new) = split("/v1.99/info") else { panic!("1.99 is served") };
        assert_eq!(new, "client version 1.99 is too new. Maximum supported API version is 1.51");
        let Split::Refused(_, old) = split("/v1.23/info") else { panic!("1.23 is served") };
        assert!(
            old.starts_with("client version 1.23 is too old. Minimum supported API version is 1.24"),
            "{old}"
        );
        for (odd, words) in
            [("/v1/version", "too old"), ("/v1./version", "too old"), ("/v99999.1/x", "too new")]
        {
            assert!(matches!(split(odd), Split::Refused(_, text) if text.contains(words)), "{odd}");
        }
    }
}
