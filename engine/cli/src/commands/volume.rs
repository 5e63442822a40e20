//! `volume …`.

mod create;
mod ls;
mod rm;

use crate::client::Client;
use crate::commands::{inspect, prune};

/// Manage volumes
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    /// Display detailed information on one or more volumes
    Inspect(inspect::Of),
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Remove unused local volumes
    Prune(prune::VolumeArgs),
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
}

impl Command {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        match self {
            Self::Create(args) => args.run(client).await,
            Self::Inspect(args) => args.run(client, inspect::Kind::Volume).await,
            Self::Ls(args) => args.run(client).await,
            Self::Prune(args) => args.run(client).await,
            Self::Rm(args) => args.run(client).await,
        }
    }
}
