//! `kill`.

use super::acted;
use crate::client::Client;

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
        acted::in_turn(client, &self.containers, "kill", &query).await
    }
}
