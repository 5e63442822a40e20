//! `run`: create, attach, wait, start, in this order, so that no byte and no exit is missed.

use anyhow::Context;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::client::{Client, segment};
use crate::commands::create;
use crate::container::{ContainerFlags, Streams, build};
use crate::error::{Failure, for_run};
use crate::stream::{End, carry, parse_detach_keys};
use crate::usage::flag_before_the_end;
use crate::{signals, tty};

/// Create and run a new container from an image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, default_value = "ctrl-p,ctrl-q", hide_default_value = true)]
    detach_keys: String,
    /// Proxy received signals to the process
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    sig_proxy: bool,
    #[command(flatten)]
    flags: ContainerFlags,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        flag_before_the_end(&self.flags.image[0], "run")?;
        let result = self.execute(client).await;
        result.map_err(|e| for_run(e, "run"))
    }

    async fn execute(&self, client: &Client) -> anyhow::Result<u8> {
        let keys = parse_detach_keys(&self.detach_keys)?;
        let (body, streams) = build(&self.flags, self.detach)?;
        tty::check(streams.stdin, self.flags.tty)?;
        let id = create::container(client, &self.flags, &body).await?;
        let path = format!("/containers/{}", segment(&id));
        if self.detach || !streams.any() {
            client.post(&format!("{path}/start"), &[], None).await?;
            say!("{id}");
            return Ok(0);
        }
        // Before the start: whatever the command prints or types first is ours.
        let io =
            client.hijack(&format!("{path}/attach"), &attach_query(streams, &self.detach_keys), None).await?;
        let condition = if self.flags.rm { "removed" } else { "next-exit" };
        let wait = wait(client, &path, condition).await?;
        let terminal = self.flags.tty.then(tty::Raw::enter);
        if self.sig_proxy {
            signals::forward(client, &id);
        }
        if let Err(e) = client.post(&format!("{path}/start"), &[], None).await {
            drop(terminal);
            let failure = for_run(e, "run");
            if self.flags.rm {
                // The name must be free again when we return.
                let _ = exit_code(wait).await;
            }
            return Err(failure);
        }
        if self.flags.tty {
            signals::follow_size(client, format!("{path}/resize"));
        }
        let end = carry(io, self.flags.tty, streams.stdin, &keys).await;
        drop(terminal);
        match end? {
            End::Detached => Ok(0),
            End::Output => match still_running(client, &path, self.flags.tty && streams.stdin).await {
                true => Ok(0),
                false => exit_code(wait).await,
            },
        }
    }
}

/// After a daemon's own detach the container goes on, and its exit code must not be waited for.
async fn still_running(client: &Client, path: &str, detachable: bool) -> bool {
    if !detachable {
        return false;
    }
    for _ in 0..10 {
        match client.get(&format!("{path}/json"), &[]).await {
            Ok(value) if value["State"]["Running"] == true => {}
            _ => return false,
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    true
}

pub(super) fn attach_query(streams: Streams, keys: &str) -> Vec<(&'static str, String)> {
    let mut query = vec![("stream", "1".to_owned())];
    for (on, name) in [(streams.stdin, "stdin"), (streams.stdout, "stdout"), (streams.stderr, "stderr")] {
        if on {
            query.push((name, "1".to_owned()));
        }
    }
    if keys != "ctrl-p,ctrl-q" {
        query.push(("detachKeys", keys.to_owned()));
    }
    query
}

/// Asks to be told of the exit. When this returns, the daemon is watching.
pub(super) async fn wait(client: &Client, path: &str, condition: &str) -> anyhow::Result<Incoming> {
    let query: Vec<_> =
        (!condition.is_empty()).then(|| ("condition", condition.to_owned())).into_iter().collect();
    client.open(Method::POST, &format!("{path}/wait"), &query, &[]).await
}

pub(super) async fn exit_code(wait: Incoming) -> anyhow::Result<u8> {
    let bytes = wait.collect().await.context("wait for the container")?.to_bytes();
    let answer: Value = serde_json::from_slice(&bytes).context("understand the container's exit")?;
    if let Some(text) = answer["Error"]["Message"].as_str().filter(|t| !t.is_empty()) {
        return Err(Failure::new(125, format!("Error waiting for container: {text}")).into());
    }
    // Exit codes have eight bits.
    Ok(answer["StatusCode"].as_i64().unwrap_or(125) as u8)
}
