//! `volume ls`.

use serde_json::{Value, json};

use crate::client::Client;
use crate::{filters, template};

/// List volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long)]
    filter: Vec<String>,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

const COLUMNS: &[(&str, &str)] = &[
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Scope", "SCOPE"),
    ("Labels", "LABELS"),
];

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let answer = client.get("/volumes", &filters::query(&self.filter)?).await?;
        let mut rows: Vec<Value> = answer["Volumes"].as_array().into_iter().flatten().map(row).collect();
        rows.sort_by_key(|row| row["Name"].as_str().unwrap_or_default().to_owned());
        if self.quiet {
            rows.iter().filter_map(|row| row["Name"].as_str()).for_each(|name| say!("{name}"));
            return Ok(0);
        }
        say_raw!("{}", template::rows(self.format.as_deref(), COLUMNS, &["Driver", "Name"], &rows)?);
        Ok(0)
    }
}

fn row(volume: &Value) -> Value {
    let labels = volume["Labels"].as_object().into_iter().flatten();
    let labels: Vec<String> =
        labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    json!({
        "Driver": volume["Driver"],
        "Name": volume["Name"],
        "Mountpoint": volume["Mountpoint"],
        "Scope": volume["Scope"],
        "Labels": labels.join(","),
    })
}
