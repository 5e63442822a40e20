//! `wait`.

use crate::client::{Client, segment};
use crate::error;

/// Block until one or more containers stop, then print their exit codes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let mut failures = Vec::new();
        for container in &self.containers {
            match client.post(&format!("/containers/{}/wait", segment(container)), &[], None).await {
                Ok(answer) => say!("{}", answer["StatusCode"]),
                Err(e) => failures.push(e),
            }
        }
        error::all(failures)
    }
}
