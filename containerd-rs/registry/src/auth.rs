//! Who we are: challenges of registries, and answers to them.

use futures::future::BoxFuture;
use serde::Deserialize;

/// A name and a password, or a token, for one host.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A refresh (identity) token.
    Refresh(String),
    /// A value for the Authorization header as it is.
    Header(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Secrets stay out of logs.
        f.write_str("Credential(…)")
    }
}

/// Gives the credential for a host that asked, if there is one.
pub trait CredentialSource: Send + Sync + std::fmt::Debug {
    /// `challenge` is the host's `WWW-Authenticate` header.
    fn credential<'a>(&'a self, host: &'a str, challenge: &'a str) -> BoxFuture<'a, Option<Credential>>;
}

/// What a `WWW-Authenticate` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A name and a password with every request.
    Basic,
    /// A token from elsewhere.
    Bearer {
        /// Where tokens are given.
        realm: String,
        /// The service's name for itself.
        service: String,
        /// What the token should allow; may be empty.
        scope: String,
    },
}

impl Challenge {
    /// Reads a header; `None` for schemes that we don't know.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let get = |key: &str| {
            parameters
                .iter()
                .find(|(k, _)| k.eq_ignore_ascii_case(key))
                .map(|(_, v)| v.clone())
                .unwrap_or_default()
        };
        let realm = get("realm");
        (!realm.is_empty()).then(|| Self::Bearer { realm, service: get("service"), scope: get("scope") })
    }
}

/// `key="value"` pairs; commas inside quotes belong to the value.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',']).to_owned();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((key, value.trim().to_owned()));
        rest = next;
    }
    found
}

/// A token server's answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Token {
    pub(crate) fn value(self) -> Option<String> {
        [self.token, self.access_token].into_iter().find(|token| !token.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let header =
            r#"Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(header),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".into(),
                service: "reg".into(),
                scope: "repository:a/b:pull,push".into(),
            })
        );
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate abc"), None);
        assert_eq!(Challenge::parse("Bearer service=x"), None);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let credential = Credential::Basic { username: "u".into(), password: "hunter2".into() };
        assert!(!format!("{credential:?}").contains("hunter2"));
    }
}
