//! The command line as a whole.

use clap::{ArgAction, Parser, Subcommand};

use crate::commands::*;
use crate::embedded;
use crate::host::Host;

/// Runs containers
#[derive(Debug, Parser)]
#[command(name = "engine", version, disable_version_flag = true, subcommand_required = true)]
pub(crate) struct Cli {
    /// Daemon socket to connect to (unix:///PATH or tcp://HOST[:PORT])
    #[arg(short = 'H', long, global = true)]
    host: Option<String>,
    /// Print version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

/// Everything that can be asked for.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for the life of the process")]
enum Command {
    #[command(flatten)]
    Container(Container),
    #[command(flatten)]
    Top(TopLevel),
    /// Manage containers
    #[command(subcommand)]
    #[command(name = "container")]
    Containers(ContainerNoun),
    /// Manage images
    #[command(subcommand)]
    Image(ImageNoun),
    /// Manage networks
    #[command(subcommand)]
    Network(network::Command),
    /// Manage volumes
    #[command(subcommand)]
    Volume(volume::Command),
    /// Manage the engine
    #[command(subcommand)]
    System(System),
}

/// Verbs that `engine X` and `engine container X` share.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for the life of the process")]
enum Container {
    Attach(attach::Args),
    #[command(disable_help_flag = true)]
    Create(create::Args),
    Exec(exec::Args),
    Kill(kill::Args),
    Logs(logs::Args),
    Pause(pause::Args),
    Port(port::Args),
    Rename(rename::Args),
    Restart(restart::Args),
    Rm(rm::Args),
    #[command(disable_help_flag = true)]
    Run(run::Args),
    Start(start::Args),
    Stats(stats::Args),
    Stop(stop::Args),
    Top(top::Args),
    Unpause(unpause::Args),
    Wait(wait::Args),
}

/// Verbs of `engine X` alone.
#[derive(Debug, Subcommand)]
enum TopLevel {
    Images(images::Args),
    Info(info::Args),
    Inspect(inspect::Args),
    Ps(ps::Args),
    Pull(pull::Args),
    Rmi(rmi::Args),
    Tag(tag::Args),
    Version(version::Args),
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for the life of the process")]
enum ContainerNoun {
    #[command(flatten)]
    Verb(Container),
    #[command(visible_aliases = ["list", "ps"])]
    Ls(ps::Args),
    /// Display detailed information on one or more containers
    Inspect(inspect::Of),
    /// Remove all stopped containers
    Prune(prune::Args),
}

#[derive(Debug, Subcommand)]
enum ImageNoun {
    #[command(visible_alias = "list")]
    Ls(images::Args),
    Pull(pull::Args),
    #[command(visible_alias = "remove")]
    Rm(rmi::Args),
    Tag(tag::Args),
    /// Display detailed information on one or more images
    Inspect(inspect::Of),
    /// Remove unused images
    Prune(prune::ImageArgs),
}

#[derive(Debug, Subcommand)]
enum System {
    Df(df::Args),
    Info(info::Args),
    Prune(prune::SystemArgs),
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<u8> {
        let host = Host::choose(self.host.as_deref())?;
        if let Command::Top(TopLevel::Version(args)) = self.command {
            return args.run(host).await;
        }
        let client = embedded::client(host).await?;
        let client = &client;
        match self.command {
            Command::Container(verb) | Command::Containers(ContainerNoun::Verb(verb)) => {
                verb.run(client).await
            }
            Command::Containers(ContainerNoun::Ls(args)) => args.run(client).await,
            Command::Containers(ContainerNoun::Inspect(args)) => {
                args.run(client, inspect::Kind::Container).await
            }
            Command::Containers(ContainerNoun::Prune(args)) => {
                args.run(client, prune::Kind::Containers).await
            }
            Command::Image(ImageNoun::Ls(args)) => args.run(client).await,
            Command::Image(ImageNoun::Pull(args)) => args.run(client).await,
            Command::Image(ImageNoun::Rm(args)) => args.run(client).await,
            Command::Image(ImageNoun::Tag(args)) => args.run(client).await,
            Command::Image(ImageNoun::Inspect(args)) => args.run(client, inspect::Kind::Image).await,
            Command::Image(ImageNoun::Prune(args)) => args.run(client).await,
            Command::Network(command) => command.run(client).await,
            Command::Volume(command) => command.run(client).await,
            Command::System(System::Df(args)) => args.run(client).await,
            Command::System(System::Prune(args)) => args.run(client).await,
            Command::System(System::Info(args)) | Command::Top(TopLevel::Info(args)) => {
                args.run(client).await
            }
            Command::Top(TopLevel::Images(args)) => args.run(client).await,
            Command::Top(TopLevel::Inspect(args)) => args.run(client).await,
            Command::Top(TopLevel::Ps(args)) => args.run(client).await,
            Command::Top(TopLevel::Pull(args)) => args.run(client).await,
            Command::Top(TopLevel::Rmi(args)) => args.run(client).await,
            Command::Top(TopLevel::Tag(args)) => args.run(client).await,
            Command::Top(TopLevel::Version(_)) => Ok(0),
        }
    }
}

impl Container {
    async fn run(self, client: &crate::client::Client) -> anyhow::Result<u8> {
        match self {
            Self::Attach(args) => args.run(client).await,
            Self::Create(args) => args.run(client).await,
            Self::Exec(args) => args.run(client).await,
            Self::Kill(args) => args.run(client).await,
            Self::Logs(args) => args.run(client).await,
            Self::Pause(args) => args.run(client).await,
            Self::Port(args) => args.run(client).await,
            Self::Rename(args) => args.run(client).await,
            Self::Restart(args) => args.run(client).await,
            Self::Rm(args) => args.run(client).await,
            Self::Run(args) => args.run(client).await,
            Self::Start(args) => args.run(client).await,
            Self::Stats(args) => args.run(client).await,
            Self::Stop(args) => args.run(client).await,
            Self::Top(args) => args.run(client).await,
            Self::Unpause(args) => args.run(client).await,
            Self::Wait(args) => args.run(client).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
