//! The `filters` parameter of lists, events and prunes.
//!
//! Clients send `{"status":{"running":true}}` or `{"status":["running"]}`. Values of one key are
//! alternatives, keys all must hold (labels: every one must hold).

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::error::{Error, Result};

/// Parsed filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Parses the parameter; absent or empty means no filter.
    ///
    /// # Errors
    /// It is neither form (400 `invalid filter`).
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let text = text.unwrap_or_default();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let bad = || Error::invalid("invalid filter");
        let Value::Object(keys) = serde_json::from_str(text).map_err(|_| bad())? else { return Err(bad()) };
        let mut filters = BTreeMap::new();
        for (key, values) in keys {
            let values = match values {
                Value::Object(values) => values
                    .into_iter()
                    .filter(|(_, on)| on != &Value::Bool(false))
                    .map(|(value, _)| value)
                    .collect(),
                Value::Array(values) => values
                    .into_iter()
                    .map(|value| value.as_str().map(str::to_owned).ok_or_else(bad))
                    .collect::<Result<_>>()?,
                Value::String(value) => vec![value],
                _ => return Err(bad()),
            };
            filters.insert(key, values);
        }
        Ok(Self(filters))
    }

    /// Refuses keys that this list doesn't know.
    ///
    /// # Errors
    /// 400 `invalid filter 'KEY'`.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Error::invalid(format!("invalid filter '{key}'"))),
            None => Ok(()),
        }
    }

    /// There is no filter at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of a key.
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// The key is given.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// One of the key's values holds, or the key isn't given.
    pub fn any(&self, key: &str, holds: impl FnMut(&String) -> bool) -> bool {
        !self.has(key) || self.get(key).iter().any(holds)
    }

    /// The key's one boolean; none without the key.
    ///
    /// # Errors
    /// The value is no boolean.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            [] => Ok(None),
            [value] => match value.as_str() {
                "1" | "true" | "True" | "TRUE" | "t" => Ok(Some(true)),
                "0" | "false" | "False" | "FALSE" | "f" => Ok(Some(false)),
                _ => Err(Error::invalid(format!("invalid filter '{key}=[{value}]'"))),
            },
            values => Err(Error::invalid(format!("invalid filter '{key}=[{}]'", values.join(" ")))),
        }
    }

    /// Every `label` (`KEY` or `KEY=VALUE`) holds and no `label!` does.
    pub fn labels(&self, labels: &HashMap<String, String>) -> bool {
        let holds = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        self.get("label").iter().all(holds) && !self.get("label!").iter().any(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_mean_the_same() {
        let map = Filters::parse(Some(r#"{"status":{"running":true}}"#)).expect("map");
        let list = Filters::parse(Some(r#"{"status":["running"]}"#)).expect("list");
        assert_eq!(map, list);
        assert!(map.any("status", |value| value == "running"));
        assert!(map.any("name", |_| false), "a key that isn't given holds");
    }

    #[test]
    fn unknown_keys_and_other_json_are_refused() {
        let filters = Filters::parse(Some(r#"{"bogus":["x"]}"#)).expect("parse");
        assert_eq!(filters.only(&["name"]).expect_err("bogus").to_string(), "invalid filter 'bogus'");
        assert!(Filters::parse(Some("[1]")).is_err());
        assert!(Filters::parse(Some("nonsense")).is_err());
    }

    #[test]
    fn all_labels_must_hold() {
        let filters = Filters::parse(Some(r#"{"label":["a=1","b"],"label!":["c"]}"#)).expect("parse");
        let labels =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert!(filters.labels(&labels(&[("a", "1"), ("b", "")])));
        assert!(!filters.labels(&labels(&[("a", "1")])));
        assert!(!filters.labels(&labels(&[("a", "1"), ("b", ""), ("c", "")])));
    }
}
