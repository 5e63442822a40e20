//! `restart`.

use crate::client::{Client, segment};
use crate::error;

/// Restart one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Signal to send to the container
    #[arg(short, long)]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, visible_alias = "time", allow_hyphen_values = true)]
    timeout: Option<i64>,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let mut query = Vec::new();
        query.extend(self.signal.map(|s| ("signal", s)));
        query.extend(self.timeout.map(|t| ("t", t.to_string())));
        // All at once: each may take its whole grace period.
        let paths: Vec<String> =
            self.containers.iter().map(|c| format!("/containers/{}/restart", segment(c))).collect();
        let answers =
            futures::future::join_all(paths.iter().map(|path| client.post(path, &query, None))).await;
        let mut failures = Vec::new();
        for (container, answer) in self.containers.iter().zip(answers) {
            match answer {
                Ok(_) => say!("{container}"),
                Err(e) => failures.push(e),
            }
        }
        error::all(failures)
    }
}
