//! `rename`.

use crate::client::{Client, segment};

/// Rename a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    container: String,
    new_name: String,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let path = format!("/containers/{}/rename", segment(&self.container));
        client.post(&path, &[("name", self.new_name)], None).await?;
        Ok(0)
    }
}
