//! A container's volumes and binds: from the request to the record.

use std::path::Path;

use bollard_stubs::models::{HostConfig, Mount, MountTypeEnum};

use super::mount_point::MountPoint;
use super::registry::Registry;
use crate::error::{Error, Kind, Result};
use crate::volumes::Volumes;

const TMPFS_DEFAULTS: &[&str] = &["noexec", "nosuid", "nodev"];

/// Everything that is mounted for the user, deepest destinations last. Nothing is made yet.
///
/// # Errors
/// 400 in docker's words.
pub fn plan(
    host: &HostConfig,
    image_volumes: &[String],
    volumes_root: &Path,
    registry: &Registry,
) -> Result<Vec<MountPoint>> {
    let mut mounts: Vec<MountPoint> = Vec::new();
    for text in host.volumes_from.iter().flatten() {
        let (name, mode) = text.split_once(':').unwrap_or((text, ""));
        let other = registry.find(name).map_err(|error| error.with_kind(Kind::InvalidParameter))?;
        for mount in
            other.read(|record| record.mounts.clone()).into_iter().filter(|mount| mount.kind != "tmpfs")
        {
            let rw = mount.rw && mode != "ro";
            put(
                &mut mounts,
                MountPoint { rw, anonymous: false, copy_up: false, mode: mode.to_owned(), ..mount },
            );
        }
    }
    let mut taken = std::collections::HashSet::new();
    let mut add = |mounts: &mut Vec<MountPoint>, mount: MountPoint| {
        if !taken.insert(mount.destination.clone()) {
            return Err(Error::invalid(format!("Duplicate mount point: {}", mount.destination)));
        }
        put(mounts, mount);
        Ok(())
    };
    for text in host.binds.iter().flatten() {
        add(&mut mounts, parse_bind(text, volumes_root)?)?;
    }
    for mount in host.mounts.iter().flatten() {
        add(&mut mounts, parse_mount(mount, volumes_root)?)?;
    }
    for (destination, options) in host.tmpfs.iter().flatten() {
        let destination = clean(destination)?;
        let options = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
        add(
            &mut mounts,
            MountPoint {
                kind: "tmpfs".into(),
                destination,
                rw: true,
                tmpfs_options: tmpfs(options),
                ..MountPoint::default()
            },
        )?;
    }
    for destination in image_volumes {
        let destination = clean(destination)?;
        if !mounts.iter().any(|mount| mount.destination == destination) {
            let name = crate::id::random();
            let source = volumes_root.join(&name).join("_data").display().to_string();
            mounts.push(MountPoint {
                anonymous: true,
                copy_up: true,
                shown: true,
                ..volume(&name, source, destination)
            });
        }
    }
    mounts.sort_by_key(|mount| mount.destination.split('/').filter(|part| !part.is_empty()).count());
    Ok(mounts)
}

fn put(mounts: &mut Vec<MountPoint>, mount: MountPoint) {
    mounts.retain(|known| known.destination != mount.destination);
    mounts.push(mount);
}

fn volume(name: &str, source: String, destination: String) -> MountPoint {
    MountPoint {
        kind: "volume".into(),
        volume: Some(name.to_owned()),
        source,
        destination,
        rw: true,
        ..MountPoint::default()
    }
}

fn tmpfs(mut options: Vec<String>) -> Vec<String> {
    for default in TMPFS_DEFAULTS {
        let opposite = default.trim_start_matches("no");
        if !options.iter().any(|option| option == default || option == opposite) {
            options.push((*default).to_owned());
        }
    }
    options
}

/// `SOURCE:DESTINATION[:MODE]`; a source without a slash in front is a volume.
fn parse_bind(text: &str, volumes_root: &Path) -> Result<MountPoint> {
    let bad = |why: &str| Error::invalid(format!("invalid volume specification: '{text}': {why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts.as_slice() {
        [destination] => ("", *destination, ""),
        [source, destination] => (*source, *destination, ""),
        [source, destination, mode] => (*source, *destination, *mode),
        _ => return Err(Error::invalid(format!("invalid volume specification: '{text}'"))),
    };
    if !destination.starts_with('/') {
        return Err(bad(&format!(
            "invalid mount config for type \"bind\": invalid mount path: '{destination}' mount path must be absolute"
        )));
    }
    let destination = clean(destination).map_err(|error| bad(&error.to_string()))?;
    let (mut rw, mut propagation, mut copy_up) = (true, String::new(), true);
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            "ro" => rw = false,
            "nocopy" => copy_up = false,
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                option.clone_into(&mut propagation)
            }
            _ => return Err(Error::invalid(format!("invalid mode: {mode}"))),
        }
    }
    let mode = mode.to_owned();
    if source.starts_with('/') {
        if propagation.is_empty() {
            propagation = "rprivate".into();
        }
        let source = clean_source(source);
        let kind = "bind".into();
        return Ok(MountPoint {
            kind,
            source,
            destination,
            mode,
            rw,
            propagation,
            make_source: true,
            shown: true,
            ..MountPoint::default()
        });
    }
    let anonymous = source.is_empty();
    let name = if anonymous { crate::id::random() } else { check_volume_name(source)?.to_owned() };
    let source = volumes_root.join(&name).join("_data").display().to_string();
    Ok(MountPoint {
        mode,
        rw,
        copy_up,
        anonymous,
        shown: true,
        propagation,
        ..volume(&name, source, destination)
    })
}

fn parse_mount(mount: &Mount, volumes_root: &Path) -> Result<MountPoint> {
    let kind = mount.typ.unwrap_or(MountTypeEnum::EMPTY);
    let bad = |why: String| Error::invalid(format!("invalid mount config for type \"{kind}\": {why}"));
    let target = mount.target.as_deref().unwrap_or_default();
    if target.is_empty() {
        return Err(bad("field Target must not be empty".into()));
    }
    if !target.starts_with('/') {
        return Err(bad(format!("invalid mount path: '{target}' mount path must be absolute")));
    }
    let destination = clean(target)?;
    let rw = mount.read_only != Some(true);
    let source = mount.source.as_deref().unwrap_or_default();
    match kind {
        MountTypeEnum::BIND => {
            if source.is_empty() {
                return Err(bad("field Source must not be empty".into()));
            }
            let options = mount.bind_options.as_ref();
            let make_source = options.and_then(|options| options.create_mountpoint) == Some(true);
            if !make_source && !Path::new(source).exists() {
                return Err(bad(format!("bind source path does not exist: {source}")));
            }
            let propagation =
                options.and_then(|options| options.propagation).map(|propagation| propagation.to_string());
            let propagation =
                propagation.filter(|text| !text.is_empty()).unwrap_or_else(|| "rprivate".into());
            Ok(MountPoint {
                kind: "bind".into(),
                source: clean_source(source),
                destination,
                rw,
                propagation,
                make_source,
                shown: true,
                ..MountPoint::default()
            })
        }
        MountTypeEnum::VOLUME => {
            let anonymous = source.is_empty();
            let name = if anonymous { crate::id::random() } else { check_volume_name(source)?.to_owned() };
            let source = volumes_root.join(&name).join("_data").display().to_string();
            let copy_up = mount.volume_options.as_ref().and_then(|options| options.no_copy) != Some(true);
            Ok(MountPoint {
                rw,
                copy_up,
                anonymous,
                mode: "z".into(),
                shown: true,
                ..volume(&name, source, destination)
            })
        }
        MountTypeEnum::TMPFS => {
            let mut options = Vec::new();
            if let Some(wanted) = &mount.tmpfs_options {
                options.extend(wanted.size_bytes.filter(|size| *size > 0).map(|size| format!("size={size}")));
                options.extend(wanted.mode.filter(|mode| *mode > 0).map(|mode| format!("mode={mode:o}")));
            }
            if !rw {
                options.push("ro".into());
            }
            Ok(MountPoint {
                kind: "tmpfs".into(),
                destination,
                rw,
                tmpfs_options: tmpfs(options),
                shown: true,
                ..MountPoint::default()
            })
        }
        _ => Err(Error::invalid(format!("mount type unknown: \"{kind}\""))),
    }
}

/// A container path without `.`, `..` and doubled slashes.
fn clean(path: &str) -> Result<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(Error::invalid(
            "invalid mount config for type \"bind\": invalid specification: destination can't be '/'",
        ));
    }
    Ok(format!("/{}", parts.join("/")))
}

fn clean_source(path: &str) -> String {
    clean(path).unwrap_or_else(|_| "/".into())
}

fn check_volume_name(name: &str) -> Result<&str> {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if !good {
        return Err(Error::invalid(format!(
            "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    if name.len() < 2 {
        return Err(Error::invalid(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )));
    }
    Ok(name)
}

/// Makes ready what is mounted: bind directories that are to be made, volumes.
///
/// # Errors
/// The file system refuses, or a volume's device can't be mounted.
pub fn make_sources(mounts: &[MountPoint], volumes: &Volumes) -> Result<()> {
    for mount in mounts {
        if let Some(name) = &mount.volume {
            volumes.attach(name, mount.anonymous)?;
        } else if mount.make_source && !Path::new(&mount.source).exists() {
            let made = std::fs::create_dir_all(&mount.source);
            made.map_err(|source| {
                Error::caused(
                    format!("error while creating mount source path '{}': mkdir", mount.source),
                    source,
                )
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> Result<MountPoint> {
        parse_bind(text, Path::new("/v"))
    }

    #[test]
    fn a_source_with_a_slash_is_a_path_and_one_without_a_volume() {
        let path = bind("/data/../srv:/x/:ro").expect("path");
        assert_eq!(
            (path.kind.as_str(), path.source.as_str(), path.destination.as_str(), path.rw),
            ("bind", "/srv", "/x", false)
        );
        let named = bind("vol:/x").expect("volume");
        assert_eq!((named.volume.as_deref(), named.source.as_str()), (Some("vol"), "/v/vol/_data"));
        assert!(named.copy_up && !named.anonymous);
        assert!(!bind("vol:/x:nocopy").expect("nocopy").copy_up);
    }

    #[test]
    fn bad_specifications_are_refused() {
        for (text, part) in [
            ("/:/", "destination can't be '/'"),
            ("/a:/b:bogus", "invalid mode: bogus"),
            ("bad name:/x", "includes invalid characters"),
            ("a:/x", "too short"),
            ("/a:rel", "mount path must be absolute"),
        ] {
            let error = bind(text).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_path_that_is_bound_gets_no_anonymous_volume() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = crate::store::Store::open(&dir.path().join("db")).expect("store");
        let registry = Registry::load(store, dir.path()).expect("registry");
        let host = HostConfig { binds: Some(vec!["/tmp:/data".into()]), ..HostConfig::default() };
        let mounts = plan(&host, &["/data".into(), "/a/b/c".into(), "/z".into()], Path::new("/v"), &registry)
            .expect("plan");
        let destinations: Vec<_> = mounts.iter().map(|mount| mount.destination.as_str()).collect();
        assert_eq!(destinations, ["/data", "/z", "/a/b/c"], "by depth");
        assert_eq!(mounts.iter().filter(|mount| mount.anonymous).count(), 2);
        let twice =
            HostConfig { binds: Some(vec!["/tmp:/d".into(), "/var:/d".into()]), ..HostConfig::default() };
        assert_eq!(
            plan(&twice, &[], Path::new("/v"), &registry).expect_err("twice").to_string(),
            "Duplicate mount point: /d"
        );
    }

    #[test]
    fn tmpfs_options_keep_what_was_asked() {
        assert_eq!(tmpfs(vec!["exec".into(), "size=1m".into()]), ["exec", "size=1m", "nosuid", "nodev"]);
    }
}
