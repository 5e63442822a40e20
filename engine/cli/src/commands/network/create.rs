//! `network create`.

use serde_json::{Map, Value, json};

use crate::client::Client;

/// Create a network
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Enable manual container attachment
    #[arg(long)]
    attachable: bool,
    /// Driver to manage the Network
    #[arg(short, long, default_value = "bridge")]
    driver: String,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long)]
    gateway: Vec<String>,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container ip from a sub-range
    #[arg(long)]
    ip_range: Vec<String>,
    /// Enable IPv6 networking
    #[arg(long)]
    ipv6: bool,
    /// Set metadata on a network
    #[arg(long)]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long)]
    opt: Vec<String>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long)]
    subnet: Vec<String>,
    name: String,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let config = |(at, subnet): (usize, &String)| {
            let mut entry = json!({"Subnet": subnet});
            if let Some(gateway) = self.gateway.get(at) {
                entry["Gateway"] = gateway.as_str().into();
            }
            if let Some(range) = self.ip_range.get(at) {
                entry["IPRange"] = range.as_str().into();
            }
            entry
        };
        let pools: Vec<Value> = self.subnet.iter().enumerate().map(config).collect();
        let body = json!({
            "Name": self.name,
            "Driver": self.driver,
            "IPAM": {"Driver": "default", "Options": {}, "Config": pools},
            "Internal": self.internal,
            "Attachable": self.attachable,
            "EnableIPv6": self.ipv6,
            "Options": map(&self.opt),
            "Labels": map(&self.label),
            "CheckDuplicate": true,
        });
        let made = client.post("/networks/create", &[], Some(&body)).await?;
        if let Some(warning) = made["Warning"].as_str().filter(|w| !w.is_empty()) {
            eprintln!("WARNING: {warning}");
        }
        say!("{}", made["Id"].as_str().unwrap_or_default());
        Ok(0)
    }
}

fn map(pairs: &[String]) -> Map<String, Value> {
    pairs
        .iter()
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (k.to_owned(), v.into()))
        .collect()
}
