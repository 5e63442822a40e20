//! `version`.

use serde_json::{Value, json};

use crate::embedded;
use crate::host::Host;
use crate::template::Template;

/// Show the engine's version information
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
}

impl Args {
    /// Without a daemon our own half is told all the same, and the command fails.
    pub(crate) async fn run(self, host: Host) -> anyhow::Result<u8> {
        let connected = embedded::client(host).await;
        let api = connected.as_ref().map_or("1.51", |c| c.api_version()).to_owned();
        let ours = json!({
            "Version": env!("CARGO_PKG_VERSION"),
            "ApiVersion": api,
            "Os": "linux",
            "Arch": architecture(),
        });
        let server = match &connected {
            Ok(client) => client.get("/version", &[]).await,
            Err(_) => Ok(Value::Null),
        };
        if let Some(format) = &self.format {
            let both = json!({"Client": ours, "Server": server?});
            match format.as_str() {
                "json" => say!("{both}"),
                text => say!("{}", Template::parse(text)?.render(&both)?),
            }
        } else {
            say!("Client:");
            say!(" Version:           {}", env!("CARGO_PKG_VERSION"));
            say!(" API version:       {api}");
            say!(" OS/Arch:           linux/{}", architecture());
            if connected.is_ok() {
                show_server(&server?);
            }
        }
        connected.map(|_| 0)
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn show_server(server: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let platform = text(&server["Platform"]["Name"]);
    say!("\nServer:{}", if platform.is_empty() { String::new() } else { format!(" {platform}") });
    let components = server["Components"].as_array().cloned().unwrap_or_default();
    for component in &components {
        say!(" {}:", text(&component["Name"]));
        say!("  Version:          {}", text(&component["Version"]));
        let details = &component["Details"];
        if component["Name"] == "Engine" {
            say!(
                "  API version:      {} (minimum version {})",
                text(&details["ApiVersion"]),
                text(&details["MinAPIVersion"])
            );
            say!("  OS/Arch:          {}/{}", text(&details["Os"]), text(&details["Arch"]));
        }
        let commit = text(&details["GitCommit"]);
        if !commit.is_empty() {
            say!("  GitCommit:        {commit}");
        }
    }
    if components.is_empty() {
        say!(" Version:          {}", text(&server["Version"]));
        say!(" API version:      {}", text(&server["ApiVersion"]));
    }
}
