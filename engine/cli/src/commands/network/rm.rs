//! `network rm`.

use crate::client::{Client, segment};
use crate::error;

/// Remove one or more networks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    force: bool,
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let mut failures = Vec::new();
        for network in &self.networks {
            match client.delete(&format!("/networks/{}", segment(network)), &[]).await {
                Ok(_) => say!("{network}"),
                Err(e) if self.force && error::status(&e) == Some(404) => {}
                Err(e) => failures.push(e),
            }
        }
        error::all(failures)
    }
}
