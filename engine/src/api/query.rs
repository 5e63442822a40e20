//! Query parameters as docker reads them.

use std::{collections::HashMap, hash::BuildHasher};

/// A parameter; none when it is empty.
pub(crate) fn text<'a, S: BuildHasher>(query: &'a HashMap<String, String, S>, key: &str) -> Option<&'a str> {
    query.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

/// A boolean: `0 no false none` and nothing are false, all else is true.
pub(crate) fn flag<S: BuildHasher>(query: &HashMap<String, String, S>, key: &str) -> bool {
    text(query, key).is_some_and(|value| {
        !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    })
}

/// A number; none when it is empty.
///
/// # Errors
/// 500 with the words of Go's parser, as dockerd answers.
pub(crate) fn number<S: BuildHasher>(
    query: &HashMap<String, String, S>,
    key: &str,
) -> crate::error::Result<Option<i64>> {
    let parse = |value: &str| {
        let bad =
            |_| crate::error::Error::system(format!("strconv.Atoi: parsing \"{value}\": invalid syntax"));
        value.parse().map_err(bad)
    };
    text(query, key).map(parse).transpose()
}

/// One side of a terminal; 0 when it is empty.
///
/// # Errors
/// 400, other than for [`number`].
pub(crate) fn cells<S: BuildHasher>(
    query: &HashMap<String, String, S>,
    key: &str,
) -> crate::error::Result<u32> {
    let given = number(query, key).map_err(|error| error.with_kind(crate::error::Kind::InvalidParameter))?;
    let given = given.unwrap_or_default();
    u32::try_from(given).map_err(|_| crate::error::Error::invalid(format!("invalid resize value {given}")))
}
