//! `network ls`.

use serde_json::{Value, json};

use crate::client::Client;
use crate::table::short_id;
use crate::{filters, template};

/// List networks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long)]
    filter: Vec<String>,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

const COLUMNS: &[(&str, &str)] =
    &[("ID", "NETWORK ID"), ("Name", "NAME"), ("Driver", "DRIVER"), ("Scope", "SCOPE"), ("Labels", "LABELS")];

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let list = client.get("/networks", &filters::query(&self.filter)?).await?;
        let mut rows: Vec<Value> = list.as_array().into_iter().flatten().map(|n| self.row(n)).collect();
        rows.sort_by_key(|row| row["Name"].as_str().unwrap_or_default().to_owned());
        if self.quiet {
            rows.iter().filter_map(|row| row["ID"].as_str()).for_each(|id| say!("{id}"));
            return Ok(0);
        }
        say_raw!(
            "{}",
            template::rows(self.format.as_deref(), COLUMNS, &["ID", "Name", "Driver", "Scope"], &rows)?
        );
        Ok(0)
    }

    fn row(&self, network: &Value) -> Value {
        let id = network["Id"].as_str().unwrap_or_default();
        let labels = network["Labels"].as_object().into_iter().flatten();
        let labels: Vec<String> =
            labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
        json!({
            "ID": if self.no_trunc { id } else { short_id(id) },
            "Name": network["Name"],
            "Driver": network["Driver"],
            "Scope": network["Scope"],
            "Labels": labels.join(","),
        })
    }
}
