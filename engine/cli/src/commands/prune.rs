//! `container prune`, `image prune` and `network prune`.

use std::io::{BufRead, Write};

use serde_json::Value;

use crate::client::Client;
use crate::{filters, units};

/// Remove all stopped containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long)]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Remove unused images
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Remove all unused networks
#[derive(Debug, clap::Args)]
pub(crate) struct NetworkArgs {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long)]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        if !self.force && !confirm("This will remove all stopped containers.")? {
            return Ok(0);
        }
        let answer = client.post("/containers/prune", &filters::query(&self.filter)?, None).await?;
        let ids: Vec<&str> =
            answer["ContainersDeleted"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !ids.is_empty() {
            say!("Deleted Containers:\n{}\n", ids.join("\n"));
        }
        reclaimed(&answer);
        Ok(0)
    }
}

impl ImageArgs {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let what = if self.all {
            "all images without at least one container associated to them."
        } else {
            "all dangling images."
        };
        if !self.force && !confirm(&format!("This will remove {what}"))? {
            return Ok(0);
        }
        let query = filters::query(&[format!("dangling={}", !self.all)])?;
        let answer = client.post("/images/prune", &query, None).await?;
        let list = answer["ImagesDeleted"].as_array().cloned().unwrap_or_default();
        if !list.is_empty() {
            say!("Deleted Images:");
            for entry in &list {
                match (entry["Untagged"].as_str(), entry["Deleted"].as_str()) {
                    (Some(name), _) => say!("untagged: {name}"),
                    (None, Some(id)) => say!("deleted: {id}"),
                    (None, None) => {}
                }
            }
            say!();
        }
        reclaimed(&answer);
        Ok(0)
    }
}

impl NetworkArgs {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        if !self.force
            && !confirm("This will remove all custom networks not used by at least one container.")?
        {
            return Ok(0);
        }
        let answer = client.post("/networks/prune", &filters::query(&self.filter)?, None).await?;
        let names: Vec<&str> =
            answer["NetworksDeleted"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !names.is_empty() {
            say!("Deleted Networks:\n{}\n", names.join("\n"));
        }
        Ok(0)
    }
}

/// Asks on the terminal; anything but yes is no.
pub(super) fn confirm(what: &str) -> anyhow::Result<bool> {
    say_raw!("WARNING! {what}\nAre you sure you want to continue? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

pub(super) fn reclaimed(answer: &Value) {
    say!("Total reclaimed space: {}", units::size(answer["SpaceReclaimed"].as_f64().unwrap_or(0.0), 4));
}
