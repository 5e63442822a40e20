//! `rm`.

use crate::client::{Client, segment};
use crate::error;

/// Remove one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove the specified link
    #[arg(short, long)]
    link: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let flags = [(self.force, "force"), (self.link, "link"), (self.volumes, "v")];
        let query: Vec<_> =
            flags.iter().filter(|(on, _)| *on).map(|(_, name)| (*name, "1".to_owned())).collect();
        let mut failures = Vec::new();
        for container in &self.containers {
            let name = container.trim_start_matches('/');
            match client.delete(&format!("/containers/{}", segment(name)), &query).await {
                Ok(_) => say!("{container}"),
                // What -f wants gone is gone.
                Err(e) if self.force && error::status(&e) == Some(404) => eprintln!("{}", error::text(&e)),
                Err(e) => failures.push(e),
            }
        }
        error::all(failures)
    }
}
