//! `logs`.

use http::Method;

use crate::client::{Client, segment};
use crate::{stream, timestamps};

/// Fetch the logs of a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long)]
    since: Option<String>,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long)]
    until: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, default_value = "all", allow_hyphen_values = true)]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    container: String,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let path = format!("/containers/{}", segment(&self.container));
        let known = client.get(&format!("{path}/json"), &[]).await?;
        let now = time::OffsetDateTime::now_utc();
        let one = || "1".to_owned();
        let mut query = vec![("stdout", one()), ("stderr", one()), ("tail", self.tail)];
        for (on, name) in
            [(self.follow, "follow"), (self.timestamps, "timestamps"), (self.details, "details")]
        {
            if on {
                query.push((name, one()));
            }
        }
        for (value, name) in [(self.since, "since"), (self.until, "until")] {
            if let Some(text) = value {
                query.push((name, timestamps::parse(&text, now)?));
            }
        }
        let body = client.open(Method::GET, &format!("{path}/logs"), &query, &[]).await?;
        stream::show(body, known["Config"]["Tty"] == true).await?;
        Ok(0)
    }
}
