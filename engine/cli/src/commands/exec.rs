//! `exec`.

use anyhow::Context;
use serde_json::json;

use crate::client::{Client, segment};
use crate::container::environment;
use crate::error::Failure;
use crate::stream::{End, carry, parse_detach_keys};
use crate::usage::flag_before_the_end;
use crate::{signals, tty};

/// Execute a command in a running container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, default_value = "ctrl-p,ctrl-q", hide_default_value = true)]
    detach_keys: String,
    /// Set environment variables
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long)]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long)]
    workdir: Option<String>,
    /// Container, then the command and its arguments
    #[arg(value_names = ["CONTAINER", "COMMAND", "[ARG]"], required = true, num_args = 2.., trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        flag_before_the_end(&self.command[0], "exec")?;
        let [container, command @ ..] = self.command.as_slice() else { anyhow::bail!("no container") };
        let keys = parse_detach_keys(&self.detach_keys)?;
        let path = format!("/containers/{}", segment(container));
        // A container that is missing is told before our own terminal is judged.
        client.get(&format!("{path}/json"), &[]).await?;
        let stdin = self.interactive && !self.detach;
        tty::check(stdin, self.tty)?;
        let env = environment(&self.env_file, &self.env)?;
        let mut body = json!({
            "User": self.user.as_deref().unwrap_or_default(),
            "Privileged": self.privileged,
            "Tty": self.tty,
            "AttachStdin": stdin,
            "AttachStdout": !self.detach,
            "AttachStderr": !self.detach,
            "Detach": self.detach,
            "DetachKeys": "",
            "Env": if env.is_empty() { json!(null) } else { json!(env) },
            "WorkingDir": self.workdir.as_deref().unwrap_or_default(),
            "Cmd": command,
        });
        if let (true, Some((height, width))) = (self.tty, tty::size()) {
            body["ConsoleSize"] = json!([height, width]);
        }
        let made = client.post(&format!("{path}/exec"), &[], Some(&body)).await?;
        let id = made["Id"].as_str().context("exec ID empty")?;
        let exec = format!("/exec/{}", segment(id));
        let start = json!({"Detach": self.detach, "Tty": self.tty});
        if self.detach {
            client.post(&format!("{exec}/start"), &[], Some(&start)).await?;
            return Ok(0);
        }
        let io = client.hijack(&format!("{exec}/start"), &[], Some(&start)).await?;
        if self.tty {
            signals::follow_size(client, format!("{exec}/resize"));
        }
        let raw = (self.tty && stdin).then(tty::Raw::enter);
        let end = carry(io, self.tty, stdin, &keys).await;
        drop(raw);
        if end? == End::Detached {
            return Err(Failure::new(1, "read escape sequence").into());
        }
        let known = client.get(&format!("{exec}/json"), &[]).await?;
        Ok(known["ExitCode"].as_i64().unwrap_or(0) as u8)
    }
}
