//! The names events are published under.

use crate::error::{Error, Result};
use crate::request::check_identifier;

/// Checks a topic: `/` and names joined by `/`.
///
/// # Errors
/// Invalid argument.
pub fn check_topic(topic: &str) -> Result<()> {
    if topic.is_empty() {
        return Err(Error::invalid("envelope topic \"\": must not be empty"));
    }
    let Some(names) = topic.strip_prefix('/') else {
        return Err(Error::invalid(format!("envelope topic {topic:?}: must start with '/'")));
    };
    if names.is_empty() {
        return Err(Error::invalid(format!("envelope topic {topic:?}: must have at least one component")));
    }
    names.split('/').try_for_each(|name| {
        check_identifier(name).map_err(|error| {
            Error::invalid(format!(
                "envelope topic {topic:?}: failed validation on component {name:?}: {error}"
            ))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_rooted_paths_of_names() {
        for good in ["/tasks/exit", "/tasks/exec-added", "/x"] {
            assert!(check_topic(good).is_ok(), "{good}");
        }
        for bad in ["", "tasks/exit", "/", "/tasks/", "//x", "/tasks/ä"] {
            assert!(check_topic(bad).is_err(), "{bad}");
        }
    }
}
