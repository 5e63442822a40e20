//! `unpause`.

use super::acted;
use crate::client::Client;

/// Unpause all processes within one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        acted::in_turn(client, &self.containers, "unpause", &[]).await
    }
}
