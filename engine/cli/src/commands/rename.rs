//! `rename`.

use crate::client::{Client, segment};
use crate::error::{self, Failure};

/// Rename a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    container: String,
    new_name: String,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let path = format!("/containers/{}/rename", segment(&self.container));
        if let Err(error) = client.post(&path, &[("name", self.new_name)], None).await {
            eprintln!("{}", error::text(&error));
            return Err(Failure::new(
                1,
                format!("Error: failed to rename container named {}", self.container),
            )
            .into());
        }
        Ok(0)
    }
}
