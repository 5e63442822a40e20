//! One action on several containers: each that it worked on is named, each failure told.

use crate::client::{Client, segment};
use crate::error;

type Query<'a> = [(&'a str, String)];

fn path(container: &str, action: &str) -> String {
    format!("/containers/{}/{action}", segment(container))
}

/// One container after the other.
pub(super) async fn in_turn(
    client: &Client,
    containers: &[String],
    action: &str,
    query: &Query<'_>,
) -> anyhow::Result<u8> {
    let mut failures = Vec::new();
    for container in containers {
        failures.extend(failure(container, client.post(&path(container, action), query, None).await));
    }
    error::all(failures)
}

/// Names the container if it worked.
fn failure<T>(container: &str, answer: anyhow::Result<T>) -> Option<anyhow::Error> {
    answer.map(|_| say!("{container}")).err()
}

/// What `stop` and `restart` are told.
#[derive(Debug, clap::Args)]
pub(super) struct Grace {
    /// Signal to send to the container
    #[arg(short, long)]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, visible_alias = "time", allow_hyphen_values = true)]
    timeout: Option<i64>,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Grace {
    /// All at once: each may take its whole grace period.
    pub(super) async fn at_once(self, client: &Client, action: &str) -> anyhow::Result<u8> {
        let mut query = Vec::new();
        query.extend(self.signal.map(|s| ("signal", s)));
        query.extend(self.timeout.map(|t| ("t", t.to_string())));
        let paths: Vec<String> = self.containers.iter().map(|c| path(c, action)).collect();
        let answers =
            futures::future::join_all(paths.iter().map(|path| client.post(path, &query, None))).await;
        let answers = self.containers.iter().zip(answers);
        error::all(answers.filter_map(|(container, answer)| failure(container, answer)).collect())
    }
}
