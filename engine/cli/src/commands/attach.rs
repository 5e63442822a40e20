//! `attach`.

use crate::client::{Client, segment};
use crate::commands::run::{attach_query, exit_code, wait};
use crate::container::Streams;
use crate::error::Failure;
use crate::stream::{End, carry, parse_detach_keys};
use crate::{signals, tty};

/// Attach local standard input, output, and error streams to a running container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Override the key sequence for detaching a container
    #[arg(long, default_value = "ctrl-p,ctrl-q", hide_default_value = true)]
    detach_keys: String,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    sig_proxy: bool,
    container: String,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let keys = parse_detach_keys(&self.detach_keys)?;
        let path = format!("/containers/{}", segment(&self.container));
        let wait = wait(client, &path, "").await?;
        let known = client.get(&format!("{path}/json"), &[]).await?;
        let state = &known["State"];
        let refuse = |text: &str| Err(Failure::new(1, text).into());
        match () {
            () if state["Running"] != true => {
                return refuse("You cannot attach to a stopped container, start it first");
            }
            () if state["Paused"] == true => {
                return refuse("You cannot attach to a paused container, unpause it first");
            }
            () if state["Restarting"] == true => {
                return refuse("You cannot attach to a restarting container, wait until it is running");
            }
            () => {}
        }
        let terminal = known["Config"]["Tty"] == true;
        let stdin = !self.no_stdin && known["Config"]["OpenStdin"] == true;
        tty::check(stdin, terminal)?;
        let streams = Streams { stdin, stdout: true, stderr: true };
        let query = attach_query(streams, &self.detach_keys);
        let io = client.hijack(&format!("{path}/attach"), &query, None).await?;
        if self.sig_proxy && !terminal {
            signals::forward(client, &self.container);
        }
        if terminal {
            signals::redraw(client, &format!("{path}/resize")).await;
            signals::follow_size(client, format!("{path}/resize"));
        }
        let raw = terminal.then(tty::Raw::enter);
        let end = carry(io, terminal, stdin, &keys).await;
        drop(raw);
        match end? {
            End::Detached => Err(Failure::new(1, "read escape sequence").into()),
            End::Output => exit_code(wait).await,
        }
    }
}
