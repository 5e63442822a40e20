//! `--filter key=value`, as the API wants it.

use std::collections::BTreeMap;

use crate::error::Failure;

/// The query's `filters`, or nothing.
pub(crate) fn query(filters: &[String]) -> anyhow::Result<Vec<(&'static str, String)>> {
    // Sorted here: whether serde_json's own maps are is another crate's feature.
    let mut map: BTreeMap<String, BTreeMap<&str, bool>> = BTreeMap::new();
    for filter in filters {
        let Some((key, value)) = filter.split_once('=') else {
            let cause = "bad format of filter (expected name=value)";
            let text = format!("invalid argument \"{filter}\" for \"-f, --filter\" flag: {cause}");
            return Err(Failure::new(125, text).into());
        };
        map.entry(key.trim().to_lowercase()).or_default().insert(value.trim(), true);
    }
    if map.is_empty() { Ok(Vec::new()) } else { Ok(vec![("filters", serde_json::to_string(&map)?)]) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn filters_are_a_map_of_sets() {
        let query =
            super::query(&["status=exited".into(), "status=created".into(), "name=a".into()]).unwrap();
        assert_eq!(query[0].1, r#"{"name":{"a":true},"status":{"created":true,"exited":true}}"#);
        assert!(super::query(&["x".into()]).is_err());
    }
}
