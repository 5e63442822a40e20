//! Labels and their bound.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Labels of any record.
pub type Labels = BTreeMap<String, String>;

/// Bytes a key and its value may have together.
const MAX_SIZE: usize = 4096;

/// Checks that no label is too long.
///
/// # Errors
/// Invalid argument, with containerd's text.
pub fn check(labels: &Labels) -> Result<()> {
    for (key, value) in labels {
        let size = key.len() + value.len();
        if size > MAX_SIZE {
            let shown: String = key.chars().take(64).collect();
            return Err(Error::invalid(format!(
                "label key and value length ({size} bytes) greater than maximum size ({MAX_SIZE} bytes), key: {shown}"
            )));
        }
    }
    Ok(())
}

/// Sets one label; an empty value removes it.
pub fn set(labels: &mut Labels, key: &str, value: Option<&String>) {
    match value {
        Some(value) if !value.is_empty() => {
            labels.insert(key.to_owned(), value.clone());
        }
        _ => {
            labels.remove(key);
        }
    }
}
