//! Single values of flags.

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// `no`, `always`, `on-failure:3`, `unless-stopped`. The daemon judges the name.
pub(super) fn restart(text: &str) -> anyhow::Result<Value> {
    let (name, count) = text.split_once(':').unwrap_or((text, "0"));
    let count: i64 = count.parse().ok().context("maximum retry count must be an integer")?;
    Ok(json!({"Name": if name.is_empty() { "no" } else { name }, "MaximumRetryCount": count}))
}

/// `/dev/a[:/dev/b[:rwm]]`.
pub(super) fn device(text: &str) -> anyhow::Result<Value> {
    let is_mode = |s: &str| !s.is_empty() && s.chars().all(|c| "rwm".contains(c));
    let parts: Vec<&str> = text.split(':').collect();
    let (host, inside, mode) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, mode] if is_mode(mode) => (*host, *host, *mode),
        [host, inside] => (*host, *inside, "rwm"),
        [host, inside, mode] if is_mode(mode) => (*host, *inside, *mode),
        _ => bail!("invalid device specification: {text}"),
    };
    Ok(json!({"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": mode}))
}

/// `nofile=1024:2048`.
pub(super) fn ulimit(text: &str) -> anyhow::Result<Value> {
    let wrong = || format!("invalid ulimit argument: {text}");
    let (name, values) = text.split_once('=').with_context(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |t: &str| t.parse::<i64>().with_context(wrong);
    Ok(json!({"Name": name, "Soft": number(soft)?, "Hard": number(hard)?}))
}

/// `seccomp=FILE` carries the file's content.
pub(super) fn security(text: &str) -> anyhow::Result<String> {
    match text.split_once('=').or_else(|| text.split_once(':')) {
        Some(("seccomp", path)) if path != "unconfined" && path != "builtin" => {
            let read = std::fs::read_to_string(path);
            let read = read.with_context(|| format!("opening seccomp profile ({path}) failed"))?;
            let profile: Value = serde_json::from_str(&read)
                .with_context(|| format!("compacting json for seccomp profile ({path}) failed"))?;
            Ok(format!("seccomp={profile}"))
        }
        None if text != "no-new-privileges" => bail!("invalid --security-opt: {text:?}"),
        _ => Ok(text.to_owned()),
    }
}

/// CPUs as billionths.
pub(super) fn nano_cpus(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        assert_eq!(restart("on-failure:3").unwrap(), json!({"Name":"on-failure","MaximumRetryCount":3}));
        assert_eq!(device("/dev/a:r").unwrap()["CgroupPermissions"], "r");
        assert_eq!(device("/dev/a:/dev/b:rw").unwrap()["PathInContainer"], "/dev/b");
        assert_eq!(ulimit("nofile=1:2").unwrap(), json!({"Name":"nofile","Soft":1,"Hard":2}));
        assert_eq!(nano_cpus(0.1), 100_000_000);
        assert!(restart("always:x").is_err() && device("a:b:c:d").is_err() && ulimit("x").is_err());
    }
}
