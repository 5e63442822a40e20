//! `unpause`.

use crate::client::{Client, segment};
use crate::error;

/// Unpause all processes within one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let mut failures = Vec::new();
        for container in &self.containers {
            match client.post(&format!("/containers/{}/unpause", segment(container)), &[], None).await {
                Ok(_) => say!("{container}"),
                Err(e) => failures.push(e),
            }
        }
        error::all(failures)
    }
}
