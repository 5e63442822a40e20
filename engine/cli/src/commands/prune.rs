//! `prune` of every noun, and of all together.

use std::io::{BufRead, Write};

use serde_json::Value;

use crate::client::Client;
use crate::{filters, units};

/// What is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Containers that don't run.
    Containers,
    /// Images that no container uses: without a name, or all.
    Images {
        all: bool,
    },
    Networks,
    /// Volumes that no container uses: without a name, or all.
    Volumes {
        all: bool,
    },
    BuildCache,
}

/// What `container prune` and `network prune` take.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long)]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// What `image prune` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    common: Args,
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
}

/// What `volume prune` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct VolumeArgs {
    #[command(flatten)]
    common: Args,
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
}

/// Remove unused data
#[derive(Debug, clap::Args)]
pub(crate) struct SystemArgs {
    #[command(flatten)]
    common: Args,
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
}

impl Args {
    /// Asks, prunes, and tells what went.
    pub(crate) async fn run(self, client: &Client, kind: Kind) -> anyhow::Result<u8> {
        if !self.force && !confirm(&format!("This will remove {}.", kind.what()))? {
            return Ok(0);
        }
        let freed = kind.prune(client, &self.filter).await?;
        if kind != Kind::Networks {
            reclaimed(freed);
        }
        Ok(0)
    }
}

impl ImageArgs {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        self.common.run(client, Kind::Images { all: self.all }).await
    }
}

impl VolumeArgs {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        self.common.run(client, Kind::Volumes { all: self.all }).await
    }
}

impl SystemArgs {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let mut kinds = vec![Kind::Containers, Kind::Networks];
        if self.volumes {
            kinds.push(Kind::Volumes { all: false });
        }
        kinds.extend([Kind::Images { all: self.all }, Kind::BuildCache]);
        let listed: Vec<String> = kinds.iter().map(|kind| format!("  - {}\n", kind.what())).collect();
        if !self.common.force && !confirm(&format!("This will remove:\n{}", listed.concat()))? {
            return Ok(0);
        }
        let mut freed = 0.0;
        for kind in kinds {
            freed += kind.prune(client, &self.common.filter).await?;
        }
        reclaimed(freed);
        Ok(0)
    }
}

impl Kind {
    /// In docker's words.
    fn what(self) -> &'static str {
        match self {
            Self::Containers => "all stopped containers",
            Self::Images { all: true } => "all images without at least one container associated to them",
            Self::Images { all: false } => "all dangling images",
            Self::Networks => "all custom networks not used by at least one container",
            Self::Volumes { all: true } => "all local volumes not used by at least one container",
            Self::Volumes { all: false } => "all anonymous local volumes not used by at least one container",
            Self::BuildCache => "unused build cache",
        }
    }

    /// Prunes, tells what went, and answers the bytes freed.
    async fn prune(self, client: &Client, filter: &[String]) -> anyhow::Result<f64> {
        let mut filter = filter.to_vec();
        let (path, key, title) = match self {
            Self::Containers => ("/containers/prune", "ContainersDeleted", "Deleted Containers:"),
            Self::Images { all } => {
                filter.push(format!("dangling={}", !all));
                ("/images/prune", "ImagesDeleted", "Deleted Images:")
            }
            Self::Networks => ("/networks/prune", "NetworksDeleted", "Deleted Networks:"),
            Self::Volumes { all } => {
                if all {
                    filter.push("all=true".to_owned());
                }
                ("/volumes/prune", "VolumesDeleted", "Deleted Volumes:")
            }
            Self::BuildCache => ("/build/prune", "CachesDeleted", "Deleted build cache objects:"),
        };
        let answer = client.post(path, &filters::query(&filter)?, None).await?;
        let gone: Vec<String> = answer[key].as_array().into_iter().flatten().filter_map(line).collect();
        if !gone.is_empty() {
            say!("{title}\n{}\n", gone.join("\n"));
        }
        Ok(answer["SpaceReclaimed"].as_f64().unwrap_or(0.0))
    }
}

/// Most things have a name; of images it is told what happened to them.
fn line(gone: &Value) -> Option<String> {
    match (gone.as_str(), gone["Untagged"].as_str(), gone["Deleted"].as_str()) {
        (Some(name), _, _) => Some(name.to_owned()),
        (None, Some(name), _) => Some(format!("untagged: {name}")),
        (None, None, Some(id)) => Some(format!("deleted: {id}")),
        (None, None, None) => None,
    }
}

/// Asks on the terminal; anything but yes is no.
fn confirm(what: &str) -> anyhow::Result<bool> {
    say_raw!("WARNING! {what}\nAre you sure you want to continue? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

fn reclaimed(bytes: f64) {
    say!("Total reclaimed space: {}", units::size(bytes, 4));
}
