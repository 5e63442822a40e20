//! `volume rm`.

use crate::client::{Client, segment};
use crate::error;

/// Remove one or more volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let query: Vec<_> = self.force.then(|| ("force", "1".to_owned())).into_iter().collect();
        let mut failures = Vec::new();
        for volume in &self.volumes {
            match client.delete(&format!("/volumes/{}", segment(volume)), &query).await {
                Ok(_) => say!("{volume}"),
                Err(e) => failures.push(e),
            }
        }
        error::all(failures)
    }
}
