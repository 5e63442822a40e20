//! `WWW-Authenticate`: what a host wants to see.

use std::collections::HashMap;

/// The schemes that we can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Basic,
}

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: Scheme,
    /// Names in lower case.
    pub(super) parameters: HashMap<String, String>,
}

/// The challenges that can be answered, bearer first. One header holds one challenge, as registries
/// send them.
pub(super) fn parse(headers: &[String]) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = headers.iter().filter_map(|header| one(header)).collect();
    found.sort_by_key(|challenge| challenge.scheme != Scheme::Bearer);
    found
}

fn one(header: &str) -> Option<Challenge> {
    let (scheme, mut rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Scheme::Bearer,
        "basic" => Scheme::Basic,
        _ => return None,
    };
    let mut parameters = HashMap::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([',', ' ', '\t']).to_ascii_lowercase();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => take_quoted(quoted),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        parameters.insert(name, value);
        rest = next;
    }
    Some(Challenge { scheme, parameters })
}

fn take_quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_and_bearer_is_preferred() {
        let found = parse(&[
            "Basic realm=\"x\"".to_owned(),
            "Digest realm=\"no\"".to_owned(),
            "Bearer realm=\"https://a/t?x=1,2\",service=s, scope=\"repository:a:pull,push\"".to_owned(),
            "Basic realm=\"with \\\"quotes\\\"\"".to_owned(),
        ]);
        assert_eq!(
            found.iter().map(|c| c.scheme).collect::<Vec<_>>(),
            [Scheme::Bearer, Scheme::Basic, Scheme::Basic]
        );
        let bearer = &found[0].parameters;
        assert_eq!(bearer["realm"], "https://a/t?x=1,2");
        assert_eq!((bearer["service"].as_str(), bearer["scope"].as_str()), ("s", "repository:a:pull,push"));
        assert_eq!(found[2].parameters["realm"], "with \"quotes\"");
    }

    #[test]
    fn rubbish_does_no_harm() {
        for text in ["", "Bearer", "Bearer =", "Bearer realm=\"", "Bearer a,b,c", "Bearer realm=\"\\"] {
            parse(&[text.to_owned()]);
        }
    }
}
