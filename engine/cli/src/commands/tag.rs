//! `tag`.

use crate::client::{Client, segment};
use crate::commands::pull::split_tag;

/// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let (repository, tag) = split_tag(&self.target);
        let query = [("repo", repository.to_owned()), ("tag", tag.unwrap_or("latest").to_owned())];
        client.post(&format!("/images/{}/tag", segment(&self.source)), &query, None).await?;
        Ok(0)
    }
}
