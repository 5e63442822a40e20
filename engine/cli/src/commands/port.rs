//! `port`, and how ports are written in lists.

use serde_json::Value;

use crate::client::{Client, segment};
use crate::error::Failure;

/// List port mappings or a specific mapping for the container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    container: String,
    #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
    port: Option<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let known = client.get(&format!("/containers/{}/json", segment(&self.container)), &[]).await?;
        let ports = known["NetworkSettings"]["Ports"].as_object().cloned().unwrap_or_default();
        let addresses = |bindings: &Value| -> Vec<String> {
            let list = bindings.as_array().into_iter().flatten();
            let text = |b: &Value, key: &str| b[key].as_str().unwrap_or_default().to_owned();
            list.map(|b| address(&text(b, "HostIp"), &text(b, "HostPort"))).collect()
        };
        if let Some(port) = &self.port {
            let key = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
            let found = ports.get(&key).map(addresses).unwrap_or_default();
            if found.is_empty() {
                let text = format!("no public port '{port}' published for {}", self.container);
                return Err(Failure::new(1, format!("Error: {text}")).into());
            }
            found.iter().for_each(|a| println!("{a}"));
            return Ok(0);
        }
        let mut keys: Vec<&String> = ports.keys().collect();
        keys.sort_by_key(|k| k.split('/').next().and_then(|n| n.parse::<u16>().ok()));
        for key in keys {
            addresses(&ports[key]).iter().for_each(|a| println!("{key} -> {a}"));
        }
        Ok(0)
    }
}

fn address(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// `0.0.0.0:8080->80/tcp, 443/tcp`, neighbours as a range.
pub(super) fn summary(ports: &Value) -> String {
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
    struct Entry {
        ip: String,
        kind: String,
        private: u64,
        public: u64,
        count: u64,
    }
    let entry = |p: &Value| Entry {
        ip: p["IP"].as_str().unwrap_or_default().to_owned(),
        kind: p["Type"].as_str().unwrap_or("tcp").to_owned(),
        private: p["PrivatePort"].as_u64().unwrap_or(0),
        public: p["PublicPort"].as_u64().unwrap_or(0),
        count: 1,
    };
    let mut entries: Vec<Entry> = ports.as_array().into_iter().flatten().map(entry).collect();
    entries.sort();
    entries.dedup();
    let mut runs: Vec<Entry> = Vec::new();
    for e in entries {
        match runs.last_mut() {
            Some(last)
                if last.ip == e.ip
                    && last.kind == e.kind
                    && last.private + last.count == e.private
                    && (last.public == 0 && e.public == 0
                        || last.public != 0 && last.public + last.count == e.public) =>
            {
                last.count += 1;
            }
            _ => runs.push(e),
        }
    }
    // Published ones first by port, v4 before v6, as docker lists them.
    runs.sort_by_key(|r| (r.private, r.kind.clone(), r.ip.contains(':'), r.ip.clone()));
    let span = |first: u64, count: u64| match count {
        1 => first.to_string(),
        _ => format!("{first}-{}", first + count - 1),
    };
    let show = |r: &Entry| {
        let private = format!("{}/{}", span(r.private, r.count), r.kind);
        if r.public == 0 {
            private
        } else {
            format!("{}->{private}", address(&r.ip, &span(r.public, r.count)))
        }
    };
    runs.iter().map(show).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_listed_in_order_and_as_ranges() {
        let port = |ip: &str, private: u64, public: u64| json!({"IP":ip,"PrivatePort":private,"PublicPort":public,"Type":"tcp"});
        let list = json!([port("::", 80, 8080), port("0.0.0.0", 80, 8080), {"PrivatePort":443,"Type":"tcp"}]);
        assert_eq!(summary(&list), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp");
        let list = json!([port("0.0.0.0", 81, 9001), port("0.0.0.0", 80, 9000)]);
        assert_eq!(summary(&list), "0.0.0.0:9000-9001->80-81/tcp");
        assert_eq!(summary(&Value::Null), "");
    }
}
