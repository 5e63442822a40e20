//! `network …`.

mod create;
mod endpoints;
mod ls;
mod rm;

use crate::client::Client;
use crate::commands::{inspect, prune};

/// Manage networks
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Connect(endpoints::Connect),
    Create(create::Args),
    Disconnect(endpoints::Disconnect),
    /// Display detailed information on one or more networks
    Inspect(inspect::Of),
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Remove all unused networks
    Prune(prune::Args),
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
}

impl Command {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        match self {
            Self::Connect(args) => args.run(client).await,
            Self::Create(args) => args.run(client).await,
            Self::Disconnect(args) => args.run(client).await,
            Self::Inspect(args) => args.run(client, inspect::Kind::Network).await,
            Self::Ls(args) => args.run(client).await,
            Self::Prune(args) => args.run(client, prune::Kind::Networks).await,
            Self::Rm(args) => args.run(client).await,
        }
    }
}
