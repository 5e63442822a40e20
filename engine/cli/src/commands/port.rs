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
                let text = format!("No public port '{port}' published for {}", self.container);
                return Err(Failure::new(1, format!("Error: {text}")).into());
            }
            found.iter().for_each(|a| say!("{a}"));
            return Ok(0);
        }
        let mut keys: Vec<&String> = ports.keys().collect();
        keys.sort_by_key(|k| k.split('/').next().and_then(|n| n.parse::<u16>().ok()));
        for key in keys {
            addresses(&ports[key]).iter().for_each(|a| say!("{key} -> {a}"));
        }
        Ok(0)
    }
}

fn address(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// `0.0.0.0:8080->80/tcp, 443/tcp` in docker's order: ports that are the same on both sides first and
/// neighbours as ranges, then those that are mapped to another number.
pub(super) fn summary(ports: &Value) -> String {
    let text = |p: &Value, key: &str| p[key].as_str().unwrap_or_default().to_owned();
    let number = |p: &Value, key: &str| p[key].as_u64().unwrap_or(0);
    let entry =
        |p: &Value| (number(p, "PrivatePort"), text(p, "IP"), number(p, "PublicPort"), text(p, "Type"));
    let mut entries: Vec<_> = ports.as_array().into_iter().flatten().map(entry).collect();
    entries.sort();
    let span = |(first, last): (u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let show = |(ip, kind): &(String, String), range: (u64, u64)| match ip.as_str() {
        "" => format!("{}/{kind}", span(range)),
        ip => format!("{}->{}/{kind}", address(ip, &span(range)), span(range)),
    };
    let (mut done, mut mapped) = (Vec::new(), Vec::new());
    let mut open: Vec<((String, String), (u64, u64))> = Vec::new();
    for (private, ip, public, kind) in entries {
        if !ip.is_empty() && public != private {
            mapped.push(format!("{}->{private}/{kind}", address(&ip, &public.to_string())));
            continue;
        }
        let key = (ip, kind);
        match open.iter_mut().find(|(k, _)| *k == key) {
            None => open.push((key, (private, private))),
            Some((_, range)) if range.1 + 1 == private => range.1 = private,
            Some((_, range)) => {
                done.push(show(&key, *range));
                *range = (private, private);
            }
        }
    }
    done.extend(open.iter().map(|(key, range)| show(key, *range)));
    done.extend(mapped);
    done.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_listed_in_order_and_as_ranges() {
        let port = |ip: &str, private: u64, public: u64| json!({"IP":ip,"PrivatePort":private,"PublicPort":public,"Type":"tcp"});
        let list = json!([port("::", 80, 8080), port("0.0.0.0", 80, 8080), {"PrivatePort":443,"Type":"tcp"}]);
        assert_eq!(summary(&list), "443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
        let list = json!([port("0.0.0.0", 81, 81), port("0.0.0.0", 80, 80), port("::", 80, 80)]);
        assert_eq!(summary(&list), "0.0.0.0:80-81->80-81/tcp, [::]:80->80/tcp");
        assert_eq!(summary(&Value::Null), "");
    }
}
