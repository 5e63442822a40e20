//! `-v`, `--mount`, `--tmpfs`.

use anyhow::bail;
use serde_json::{Map, Value, json};

/// Binds, and destinations of anonymous volumes.
pub(super) fn volumes(flags: &[String]) -> anyhow::Result<(Vec<String>, Map<String, Value>)> {
    let (mut binds, mut anonymous) = (Vec::new(), Map::new());
    for flag in flags {
        match flag.split_once(':') {
            None if flag.starts_with('/') => {
                anonymous.insert(flag.clone(), json!({}));
            }
            None => bail!("invalid volume specification: '{flag}'"),
            Some((source, rest))
                if source == "." || source.starts_with("./") || source.starts_with("../") =>
            {
                let absolute = std::path::absolute(source)?;
                binds.push(format!("{}:{rest}", absolute.components().as_path().display()));
            }
            Some(_) => binds.push(flag.clone()),
        }
    }
    Ok((binds, anonymous))
}

/// `type=bind,source=/a,target=/b,readonly`.
pub(super) fn mount(flag: &str) -> anyhow::Result<Value> {
    let mut mount = json!({"Type": "volume"});
    for field in flag.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, "true"));
        let truth = |v: &str| match v {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => bail!("invalid value for {key}: {v}"),
        };
        match key.trim().to_lowercase().as_str() {
            "type" => mount["Type"] = value.to_lowercase().into(),
            "source" | "src" => mount["Source"] = value.into(),
            "target" | "dst" | "destination" => mount["Target"] = value.into(),
            "readonly" | "ro" => mount["ReadOnly"] = truth(value)?.into(),
            "consistency" => mount["Consistency"] = value.into(),
            "bind-propagation" => mount["BindOptions"]["Propagation"] = value.into(),
            "bind-nonrecursive" => mount["BindOptions"]["NonRecursive"] = truth(value)?.into(),
            "volume-nocopy" => mount["VolumeOptions"]["NoCopy"] = truth(value)?.into(),
            "volume-subpath" => mount["VolumeOptions"]["Subpath"] = value.into(),
            "volume-driver" => mount["VolumeOptions"]["DriverConfig"]["Name"] = value.into(),
            "volume-label" => {
                let (k, v) = value.split_once('=').unwrap_or((value, ""));
                mount["VolumeOptions"]["Labels"][k] = v.into();
            }
            "volume-opt" => {
                let (k, v) = value.split_once('=').unwrap_or((value, ""));
                mount["VolumeOptions"]["DriverConfig"]["Options"][k] = v.into();
            }
            "tmpfs-size" => mount["TmpfsOptions"]["SizeBytes"] = crate::units::bytes(value)?.into(),
            "tmpfs-mode" => match i64::from_str_radix(value, 8) {
                Ok(mode) => mount["TmpfsOptions"]["Mode"] = mode.into(),
                Err(_) => bail!("invalid value for {key}: {value}"),
            },
            _ => {
                bail!("invalid argument \"{flag}\" for \"--mount\" flag: unexpected key '{key}' in '{field}'")
            }
        }
    }
    if mount["Target"].as_str().unwrap_or_default().is_empty() {
        bail!("invalid argument \"{flag}\" for \"--mount\" flag: target is required");
    }
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_binds_or_anonymous() {
        let (binds, anonymous) =
            volumes(&["/a:/b:ro".into(), "n:/c".into(), "/d".into(), "./x:/y".into()]).unwrap();
        assert_eq!(binds[..2], ["/a:/b:ro", "n:/c"]);
        assert!(binds[2].starts_with('/') && binds[2].ends_with("/x:/y"), "{}", binds[2]);
        assert!(anonymous.contains_key("/d"));
    }

    #[test]
    fn mounts_have_their_options_by_type() {
        let value = mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rshared").unwrap();
        let wanted = json!({"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"Propagation":"rshared"}});
        assert_eq!(value, wanted);
        assert!(mount("type=bind,src=/a").is_err() && mount("bogus=1,dst=/a").is_err());
    }
}
