//! `list`: all containers below `--root`.

use std::fmt::Write as _;

use anyhow::bail;

use super::print;
use super::state::View;
use crate::cli::{Args, Flag, Global, option, switch};
use crate::container::store::{self, Entry};
use crate::error::{Refusal, report};

pub(super) const FLAGS: &[Flag] = &[
    option("format", "FORMAT", "table or json").short("f"),
    switch("quiet", "display only container ids").short("q"),
];

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    args.expect("list", 0, 0)?;
    let mut views = Vec::new();
    for id in store::ids(&global.root)? {
        // A broken one doesn't hide the others; one that goes while we look was never there.
        match Entry::open(&global.root, &id).and_then(|entry| Ok(View::of(&entry, entry.read()?))) {
            Ok(view) => views.push(view),
            Err(error) if error.downcast_ref::<Refusal>() == Some(&Refusal::NotExist) => {}
            Err(error) => global.log.warn(&format!("load container {id}: {}", report(&error))),
        }
    }
    let text = if args.is_set("quiet") {
        views.iter().map(|v| format!("{}\n", v.id)).collect()
    } else {
        match args.text("format")?.unwrap_or("table") {
            "table" => table(&views),
            // Go's encoder writes an empty list this way, and clients know it.
            "json" if views.is_empty() => "null\n".to_owned(),
            "json" => format!("{}\n", serde_json::to_string(&views)?),
            other => bail!("invalid format option: {other:?}"),
        }
    };
    Ok(i32::from(print(&text)))
}

fn table(views: &[View]) -> String {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    rows.extend(views.iter().map(|v| {
        [&v.id, &v.pid.to_string(), &v.status, &v.bundle, &v.created, &v.owner].map(String::to_owned)
    }));
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0).max(8) + 4;
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}");
        }
        let _ = writeln!(text, "{}", row[5]);
    }
    text
}
