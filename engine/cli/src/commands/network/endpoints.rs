//! `network connect` and `disconnect`.

use serde_json::json;

use crate::client::{Client, segment};

/// Connect a container to a network
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    /// Add network-scoped alias for the container
    #[arg(long)]
    alias: Vec<String>,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long)]
    ip: Option<String>,
    network: String,
    container: String,
}

/// Disconnect a container from a network
#[derive(Debug, clap::Args)]
pub(crate) struct Disconnect {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    force: bool,
    network: String,
    container: String,
}

impl Connect {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let mut endpoint = json!({});
        if !self.alias.is_empty() {
            endpoint["Aliases"] = self.alias.into();
        }
        if let Some(ip) = self.ip {
            endpoint["IPAMConfig"] = json!({"IPv4Address": ip});
        }
        let body = json!({"Container": self.container, "EndpointConfig": endpoint});
        client.post(&format!("/networks/{}/connect", segment(&self.network)), &[], Some(&body)).await?;
        Ok(0)
    }
}

impl Disconnect {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let body = json!({"Container": self.container, "Force": self.force});
        client.post(&format!("/networks/{}/disconnect", segment(&self.network)), &[], Some(&body)).await?;
        Ok(0)
    }
}
