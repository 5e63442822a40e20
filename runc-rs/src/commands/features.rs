//! `features`.

use super::print;
use crate::cli::{Args, Global};

pub(super) fn run(_global: &Global, args: &Args) -> anyhow::Result<i32> {
    args.expect("features", 0, 0)?;
    Ok(i32::from(print(&format!("{}\n", serde_json::to_string_pretty(&crate::features::document())?))))
}
