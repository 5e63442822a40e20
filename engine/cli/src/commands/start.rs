//! `start`.

use crate::client::{Client, segment};
use crate::commands::run::{attach_query, exit_code, wait};
use crate::container::Streams;
use crate::error::{self, Failure};
use crate::stream::{End, carry, parse_detach_keys};
use crate::{signals, tty};

/// Start one or more stopped containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, default_value = "ctrl-p,ctrl-q", hide_default_value = true)]
    detach_keys: String,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        if self.attach || self.interactive {
            let [container] = self.containers.as_slice() else {
                return Err(Failure::new(1, "you cannot start and attach multiple containers at once").into());
            };
            return self.attached(client, container).await;
        }
        let mut failed = Vec::new();
        for container in &self.containers {
            match client.post(&format!("/containers/{}/start", segment(container)), &[], None).await {
                Ok(_) => say!("{container}"),
                Err(e) => {
                    eprintln!("{}", error::text(&e));
                    failed.push(container.as_str());
                }
            }
        }
        if failed.is_empty() {
            return Ok(0);
        }
        eprintln!("Error: failed to start containers: {}", failed.join(", "));
        Ok(1)
    }

    async fn attached(&self, client: &Client, container: &str) -> anyhow::Result<u8> {
        let keys = parse_detach_keys(&self.detach_keys)?;
        let path = format!("/containers/{}", segment(container));
        let known = client.get(&format!("{path}/json"), &[]).await?;
        let terminal = known["Config"]["Tty"] == true;
        let stdin = self.interactive && known["Config"]["OpenStdin"] == true;
        tty::check(stdin, terminal)?;
        let streams = Streams { stdin, stdout: true, stderr: true };
        let io =
            client.hijack(&format!("{path}/attach"), &attach_query(streams, &self.detach_keys), None).await?;
        let remove = known["HostConfig"]["AutoRemove"] == true;
        let wait = wait(client, &path, if remove { "removed" } else { "next-exit" }).await?;
        if !terminal {
            signals::forward(client, container);
        }
        client.post(&format!("{path}/start"), &[], None).await?;
        if terminal {
            signals::follow_size(client, format!("{path}/resize"));
        }
        let raw = (terminal && stdin).then(tty::Raw::enter);
        let end = carry(io, terminal, stdin, &keys).await;
        drop(raw);
        match end? {
            End::Detached => Ok(0),
            End::Output => exit_code(wait).await,
        }
    }
}
