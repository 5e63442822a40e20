//! The command line: containerd's flags and commands.

use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use prost::Message;
use proto::containerd::services::events::v1::PublishRequest;
use proto_services::containerd::services::events::v1::events_client::EventsClient;
use tonic::transport::Endpoint;

use crate::config::{Config, Overrides};
use crate::daemon;

/// Largest event `publish` reads from its standard input, in bytes.
const MAX_EVENT_SIZE: u64 = 4 << 20;

/// containerd's daemon: images, snapshots, containers and tasks behind its gRPC API
#[derive(Debug, Parser)]
#[command(name = "containerd-rs", disable_version_flag = true, args_conflicts_with_subcommands = false)]
struct Arguments {
    #[command(flatten)]
    overrides: Overrides,
    /// Print the version and exit
    #[arg(long, short = 'v')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the configuration
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Publish an event read from standard input (called by shims of old)
    Publish {
        /// Topic of the event, such as /tasks/exit
        #[arg(long)]
        topic: String,
        /// Namespace of the event
        #[arg(long)]
        namespace: String,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum ConfigCommand {
    /// Print what applies without a file
    Default,
    /// Print what applies with the file and the flags
    Dump,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse_from(single_dash_is_double(std::env::args())) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 1 } else { 0 });
        }
    };
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "containerd-rs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Go's flag packages take `-root` for `--root`; so do scripts.
fn single_dash_is_double(arguments: impl Iterator<Item = String>) -> Vec<String> {
    arguments
        .map(|argument| match argument.strip_prefix('-') {
            Some(rest) if rest.len() > 1 && !rest.starts_with('-') && is_long_flag(rest) => {
                format!("--{rest}")
            }
            _ => argument,
        })
        .collect()
}

fn is_long_flag(text: &str) -> bool {
    let name = text.split('=').next().unwrap_or(text);
    ["config", "address", "root", "state", "log-level", "version", "help", "topic", "namespace"]
        .contains(&name)
}

fn execute(arguments: Arguments) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    if arguments.version {
        writeln!(stdout, "containerd-rs {} {}", crate::VERSION, crate::REVISION)?;
        return Ok(());
    }
    match arguments.command {
        None => {
            crate::inherited::keep_from_children();
            daemon::main(Config::load(&arguments.overrides)?)
        }
        Some(Command::Config { what: ConfigCommand::Default }) => {
            write!(stdout, "{}", Config::default().to_toml()?).context("print the configuration")
        }
        Some(Command::Config { what: ConfigCommand::Dump }) => {
            write!(stdout, "{}", Config::load(&arguments.overrides)?.to_toml()?)
                .context("print the configuration")
        }
        Some(Command::Publish { topic, namespace }) => {
            let config = Config::load(&arguments.overrides)?;
            publish(&config, topic, namespace)
        }
    }
}

fn publish(config: &Config, topic: String, namespace: String) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(MAX_EVENT_SIZE)
        .read_to_end(&mut bytes)
        .context("read the event from standard input")?;
    let event = prost_types::Any::decode(bytes.as_slice()).context("read the event: it is no Any")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = config.grpc.address.display();
        let channel = Endpoint::new(format!("unix://{address}"))?
            .connect()
            .await
            .with_context(|| format!("connect to {address}"))?;
        let mut request = tonic::Request::new(PublishRequest { topic, event: Some(event) });
        request.metadata_mut().insert("containerd-namespace", namespace.parse().context("namespace")?);
        EventsClient::new(channel)
            .publish(request)
            .await
            .map_err(|status| anyhow::anyhow!("publish the event: {}", status.message()))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_style_flags_are_understood() {
        let words = ["containerd", "-root", "/r", "--state=/s", "-l", "debug", "-address=/a"];
        let arguments =
            Arguments::try_parse_from(single_dash_is_double(words.into_iter().map(str::to_owned)))
                .expect("valid");
        assert_eq!(arguments.overrides.root, Some("/r".into()));
        assert_eq!(arguments.overrides.state, Some("/s".into()));
        assert_eq!(arguments.overrides.address, Some("/a".into()));
        assert_eq!(arguments.overrides.log_level.as_deref(), Some("debug"));
    }

    #[test]
    fn the_publish_call_of_an_old_shim_is_understood() {
        let words =
            ["containerd", "--address", "/a", "publish", "--topic", "/tasks/exit", "--namespace", "ns"];
        let arguments = Arguments::try_parse_from(words).expect("valid");
        assert!(matches!(arguments.command, Some(Command::Publish { .. })));
        assert_eq!(arguments.overrides.address, Some("/a".into()));
    }
}
