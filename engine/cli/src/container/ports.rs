//! `-p` and `--expose`.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

/// Exposed ports and bindings.
#[derive(Debug, Default)]
pub(super) struct Ports {
    pub(super) exposed: Map<String, Value>,
    pub(super) bindings: Map<String, Value>,
}

pub(super) fn parse(publish: &[String], expose: &[String]) -> anyhow::Result<Ports> {
    let mut ports = Ports::default();
    for flag in publish {
        one(flag, &mut ports)?;
    }
    for flag in expose {
        let (range, protocol) = protocol(flag)?;
        let (first, last) =
            self::range(range).with_context(|| format!("invalid range format for --expose: {flag}"))?;
        for port in first..=last {
            ports.exposed.insert(format!("{port}/{protocol}"), json!({}));
        }
    }
    Ok(ports)
}

/// `[[ip:]host:]container[/protocol]`, each port possibly a range.
fn one(flag: &str, ports: &mut Ports) -> anyhow::Result<()> {
    let (addresses, protocol) = protocol(flag)?;
    let (rest, container) = match addresses.rsplit_once(':') {
        Some((rest, container)) => (Some(rest), container),
        None => (None, addresses),
    };
    let (ip, host) = match rest {
        None => ("", ""),
        Some(rest) => rest.rsplit_once(':').unwrap_or(("", rest)),
    };
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    if !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err() {
        bail!("invalid IP address: {ip}");
    }
    let (first, last) = range(container).with_context(|| format!("invalid containerPort: {container}"))?;
    let hosts = if host.is_empty() {
        None
    } else {
        Some(range(host).with_context(|| format!("invalid hostPort: {host}"))?)
    };
    if let Some((from, to)) = hosts
        && to - from != last - first
        && first != last
    {
        bail!("invalid ranges specified for container and host Ports: {container} and {host}");
    }
    for port in first..=last {
        let host_port = match hosts {
            None => String::new(),
            // One port inside, many outside: the first free one.
            Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
            Some((from, _)) => (from + (port - first)).to_string(),
        };
        let key = format!("{port}/{protocol}");
        ports.exposed.insert(key.clone(), json!({}));
        let binding = json!({"HostIp": ip, "HostPort": host_port});
        match ports.bindings.entry(key).or_insert_with(|| json!([])) {
            Value::Array(list) => list.push(binding),
            other => *other = json!([binding]),
        }
    }
    Ok(())
}

fn protocol(flag: &str) -> anyhow::Result<(&str, String)> {
    let (ports, protocol) = flag.rsplit_once('/').unwrap_or((flag, "tcp"));
    let protocol = protocol.to_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        bail!("invalid proto: {protocol}");
    }
    Ok((ports, protocol))
}

fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first > 0 && first <= last).then_some((first.into(), last.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(flag: &str) -> Value {
        Value::Object(parse(&[flag.to_owned()], &[]).unwrap().bindings)
    }

    #[test]
    fn ports_are_published_as_docker_reads_them() {
        assert_eq!(bindings("18080:80"), json!({"80/tcp":[{"HostIp":"","HostPort":"18080"}]}));
        assert_eq!(bindings("80/udp"), json!({"80/udp":[{"HostIp":"","HostPort":""}]}));
        assert_eq!(bindings("127.0.0.1::80"), json!({"80/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]}));
        assert_eq!(bindings("[::1]:9:80"), json!({"80/tcp":[{"HostIp":"::1","HostPort":"9"}]}));
        assert_eq!(bindings("9000-9002:80"), json!({"80/tcp":[{"HostIp":"","HostPort":"9000-9002"}]}));
        assert_eq!(
            bindings("9000-9001:80-81"),
            json!({"80/tcp":[{"HostIp":"","HostPort":"9000"}],"81/tcp":[{"HostIp":"","HostPort":"9001"}]})
        );
    }

    #[test]
    fn ports_that_make_no_sense_are_refused() {
        for bad in ["x", "99999", "1-2:3-9", "300.1.1.1:1:1", "80/icmp", "5-1", ""] {
            assert!(parse(&[bad.to_owned()], &[]).is_err(), "{bad}");
        }
    }
}
