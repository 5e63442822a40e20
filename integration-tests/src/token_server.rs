//! A token server, as registries have one: whoever comes without credentials gets a token for what is open to
//! all, one user gets a token for the rest.

use crate::fake_registry::{API, Answer};

/// Says who may see a [`FakeRegistry`](crate::FakeRegistry).
#[derive(Clone, Debug)]
pub struct TokenServer {
    /// Value of the Authorization header that earns the full token.
    pub user: String,
}

/// A token for which the registry shows everything.
const FULL: &str = "Bearer full";

impl TokenServer {
    /// What is said in the registry's stead; none: the bearer may see it.
    pub(crate) fn gate(&self, port: u16, request: (&str, &str), authorization: &str) -> Option<Answer> {
        let json = |text: &str| Answer::ok("application/json", text);
        let (method, path) = request;
        if path.starts_with("/token") {
            return Some(match authorization {
                // The other way to ask, by a form, is told to try this one.
                _ if method != "GET" => Answer::status(404),
                "" => json(r#"{"token":"anonymous"}"#),
                known if known == self.user => json(r#"{"token":"full"}"#),
                _ => Answer { status: 401, ..json(r#"{"details":"incorrect username or password"}"#) },
            });
        }
        if authorization == FULL {
            return None;
        }
        let mut challenge = format!("Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"fake\"");
        if !authorization.is_empty() {
            challenge.push_str(",error=\"insufficient_scope\"");
        }
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        Some(Answer { status: 401, ..json(body) }.header(API.0, API.1).header("WWW-Authenticate", &challenge))
    }
}
