//! `restart`.

use super::acted::Grace;
use crate::client::Client;

/// Restart one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    grace: Grace,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        self.grace.at_once(client, "restart").await
    }
}
