//! `volume create`.

use serde_json::{Map, Value, json};

use crate::client::Client;

/// Create a volume
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Specify volume driver name
    #[arg(short, long, default_value = "local")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long)]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long)]
    opt: Vec<String>,
    name: Option<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let body = json!({
            "Name": self.name.unwrap_or_default(),
            "Driver": self.driver,
            "DriverOpts": map(&self.opt),
            "Labels": map(&self.label),
        });
        let made = client.post("/volumes/create", &[], Some(&body)).await?;
        say!("{}", made["Name"].as_str().unwrap_or_default());
        Ok(0)
    }
}

fn map(pairs: &[String]) -> Map<String, Value> {
    pairs
        .iter()
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (k.to_owned(), v.into()))
        .collect()
}
