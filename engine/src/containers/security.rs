//! `--security-opt`: seccomp profiles, no-new-privileges, labels.

use std::collections::BTreeSet;

use bollard_stubs::models::HostConfig;
use serde_json::{Value, json};

use crate::error::{Error, Result};

fn options(host: &HostConfig) -> impl Iterator<Item = (&str, &str)> {
    host.security_opt.iter().flatten().map(|text| {
        // Both separators are in use; a profile's JSON has colons, so `=` counts first where it comes first.
        let at = text.find(['=', ':']).unwrap_or(text.len());
        (&text[..at], text.get(at + 1..).unwrap_or_default())
    })
}

/// Checks the options.
///
/// # Errors
/// 400 for one that isn't known or can't be had.
pub fn check(host: &HostConfig) -> Result<()> {
    for (key, value) in options(host) {
        match key {
            "no-new-privileges" | "label" | "systempaths" => {}
            "apparmor" if value.is_empty() || value == "unconfined" || value == "docker-default" => {}
            "seccomp" => drop(seccomp(host, &BTreeSet::new())?),
            "apparmor" => {
                return Err(Error::invalid(format!(
                    "invalid --security-opt: the AppArmor profile {value:?} can't be used: AppArmor is not supported yet"
                )));
            }
            _ => return Err(Error::invalid(format!("invalid --security-opt 2: {key:?}"))),
        }
    }
    Ok(())
}

/// Set-user-id programs gain nothing.
pub fn no_new_privileges(host: &HostConfig) -> bool {
    options(host).any(|(key, value)| key == "no-new-privileges" && !matches!(value, "false" | "0"))
}

/// The profile in force; none for unconfined and privileged containers.
///
/// # Errors
/// 400: the profile is no JSON.
pub fn seccomp(host: &HostConfig, capabilities: &BTreeSet<String>) -> Result<Option<Value>> {
    match options(host).find(|(key, _)| *key == "seccomp").map(|(_, value)| value) {
        Some("unconfined") => Ok(None),
        Some("builtin") => Ok(Some(oci::seccomp_default::profile(capabilities))),
        Some(text) => {
            let profile = serde_json::from_str(text)
                .map_err(|error| Error::invalid(format!("Decoding seccomp profile failed: {error}")))?;
            Ok(Some(from_docker(&profile, capabilities)))
        }
        None if host.privileged == Some(true) => Ok(None),
        None => Ok(Some(oci::seccomp_default::profile(capabilities))),
    }
}

/// Docker's file format has conditions that OCI's hasn't: they are decided here.
fn from_docker(profile: &Value, capabilities: &BTreeSet<String>) -> Value {
    let mut spec = json!({ "defaultAction": profile["defaultAction"] });
    for key in ["defaultErrnoRet", "flags", "listenerPath", "listenerMetadata", "architectures"] {
        if !profile[key].is_null() {
            spec[key] = profile[key].clone();
        }
    }
    let arch = match std::env::consts::ARCH {
        "x86_64" => "SCMP_ARCH_X86_64",
        "aarch64" => "SCMP_ARCH_AARCH64",
        _ => "",
    };
    if let Some(entry) =
        profile["archMap"].as_array().into_iter().flatten().find(|entry| entry["architecture"] == arch)
    {
        let mut all = vec![entry["architecture"].clone()];
        all.extend(entry["subArchitectures"].as_array().into_iter().flatten().cloned());
        spec["architectures"] = all.into();
    }
    let short = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let names = |value: &Value| {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let rules = profile["syscalls"].as_array().into_iter().flatten().filter_map(|rule| {
        let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
        let (arches, caps) = (names(&includes["arches"]), names(&includes["caps"]));
        let wanted = (arches.is_empty() || arches.iter().any(|name| name == short))
            && caps.iter().all(|name| capabilities.contains(name));
        let banned = names(&excludes["arches"]).iter().any(|name| name == short)
            || names(&excludes["caps"]).iter().any(|name| capabilities.contains(name));
        if !wanted || banned {
            return None;
        }
        let mut list = names(&rule["names"]);
        list.extend(rule["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned));
        let mut out = json!({ "names": list, "action": rule["action"] });
        for key in ["args", "errnoRet"] {
            if rule[key].as_array().is_none_or(|args| !args.is_empty()) && !rule[key].is_null() {
                out[key] = rule[key].clone();
            }
        }
        Some(out)
    });
    spec["syscalls"] = rules.collect::<Vec<_>>().into();
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(options: &[&str]) -> HostConfig {
        HostConfig {
            security_opt: Some(options.iter().map(|option| (*option).to_owned()).collect()),
            ..HostConfig::default()
        }
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        assert!(no_new_privileges(&host(&["no-new-privileges"])));
        assert!(no_new_privileges(&host(&["no-new-privileges:true"])));
        assert!(!no_new_privileges(&host(&["no-new-privileges=false"])));
        assert_eq!(seccomp(&host(&["seccomp=unconfined"]), &BTreeSet::new()).expect("ok"), None);
        assert!(check(&host(&["bogus=1"])).is_err());
    }

    #[test]
    fn a_profile_of_dockers_is_decided_for_the_capabilities() {
        let text = r#"seccomp={"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["a"],"action":"SCMP_ACT_ALLOW","args":[],"includes":{"caps":["CAP_SYS_ADMIN"]}},
            {"names":["b"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
        let names = |caps: &[&str]| {
            let caps = caps.iter().map(|cap| (*cap).to_owned()).collect();
            let profile = seccomp(&host(&[text]), &caps).expect("good").expect("a profile");
            profile["syscalls"]
                .as_array()
                .expect("rules")
                .iter()
                .map(|rule| rule["names"][0].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&["CAP_SYS_ADMIN"]), ["a"]);
        assert_eq!(names(&[]), ["b"]);
    }
}
