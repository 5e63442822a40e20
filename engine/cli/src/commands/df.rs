//! `system df`.

use serde_json::{Value, json};

use crate::client::Client;
use crate::{template, units};

/// Show disk usage
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
}

const COLUMNS: &[(&str, &str)] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let usage = client.get("/system/df", &[]).await?;
        let rows = [images(&usage), containers(&usage), volumes(&usage), build_cache(&usage)].map(Row::cells);
        let shown = COLUMNS.iter().map(|(key, _)| *key).collect::<Vec<_>>();
        say_raw!("{}", template::rows(self.format.as_deref(), COLUMNS, &shown, &rows)?);
        Ok(0)
    }
}

/// One kind of thing. Sizes in bytes.
struct Row {
    kind: &'static str,
    total: usize,
    active: usize,
    size: f64,
    reclaimable: f64,
}

impl Row {
    fn cells(self) -> Value {
        let mut reclaimable = units::size(self.reclaimable, 4);
        // Docker gives no share of the build cache.
        if self.size > 0.0 && self.kind != "Build Cache" {
            reclaimable.push_str(&format!(" ({}%)", (self.reclaimable * 100.0 / self.size) as i64));
        }
        json!({
            "Type": self.kind,
            "TotalCount": self.total.to_string(),
            "Active": self.active.to_string(),
            "Size": units::size(self.size, 4),
            "Reclaimable": reclaimable,
        })
    }
}

fn list<'a>(usage: &'a Value, key: &str) -> &'a [Value] {
    usage[key].as_array().map_or(&[], Vec::as_slice)
}

fn bytes(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0).max(0.0)
}

fn images(usage: &Value) -> Row {
    let images = list(usage, "Images");
    let used = images.iter().filter(|image| image["Containers"].as_i64().unwrap_or(0) > 0);
    // What an image shares may have to stay for another: docker counts it as free all the same.
    let held: f64 = used.clone().map(|image| bytes(&image["Size"]) - bytes(&image["SharedSize"])).sum();
    let size = bytes(&usage["LayersSize"]);
    Row { kind: "Images", total: images.len(), active: used.count(), size, reclaimable: size - held }
}

fn containers(usage: &Value) -> Row {
    let active = |container: &Value| {
        ["running", "paused", "restarting"].contains(&container["State"].as_str().unwrap_or_default())
    };
    tally("Containers", list(usage, "Containers"), active, |container| &container["SizeRw"])
}

fn volumes(usage: &Value) -> Row {
    let active = |volume: &Value| volume["UsageData"]["RefCount"].as_i64().unwrap_or(0) > 0;
    tally("Local Volumes", list(usage, "Volumes"), active, |volume| &volume["UsageData"]["Size"])
}

fn build_cache(usage: &Value) -> Row {
    let active = |record: &Value| record["InUse"].as_bool().unwrap_or(false);
    tally("Build Cache", list(usage, "BuildCache"), active, |record| &record["Size"])
}

/// What isn't active could go.
fn tally(
    kind: &'static str,
    things: &[Value],
    is_active: impl Fn(&Value) -> bool,
    size: impl Fn(&Value) -> &Value,
) -> Row {
    let sum = |things: &[&Value]| things.iter().map(|thing| bytes(size(thing))).sum::<f64>();
    let (active, idle): (Vec<&Value>, Vec<&Value>) = things.iter().partition(|thing| is_active(thing));
    Row {
        kind,
        total: things.len(),
        active: active.len(),
        size: sum(&active) + sum(&idle),
        reclaimable: sum(&idle),
    }
}
