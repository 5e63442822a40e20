//! `kill`.

use crate::client::{Client, segment};
use crate::error;

/// Kill one or more running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Signal to send to the container
    #[arg(short, long)]
    signal: Option<String>,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let query: Vec<_> = self.signal.map(|s| ("signal", s)).into_iter().collect();
        let mut failures = Vec::new();
        for container in &self.containers {
            match client.post(&format!("/containers/{}/kill", segment(container)), &query, None).await {
                Ok(_) => say!("{container}"),
                Err(e) => failures.push(e),
            }
        }
        error::all(failures)
    }
}
