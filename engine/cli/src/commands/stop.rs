//! `stop`.

use super::acted::Grace;
use crate::client::Client;

/// Stop one or more running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    grace: Grace,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        self.grace.at_once(client, "stop").await
    }
}
