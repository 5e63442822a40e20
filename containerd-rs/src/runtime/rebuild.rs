//! After the metadata was lost: containers are recorded again from the bundles of their tasks, so that the tasks
//! can be asked for.

use std::path::Path;

use proto::containerd::services::containers::v1::{Container, container};
use proto::typeurl;

use super::bundle::Bundle;
use crate::error::{Kind, Result};
use crate::metadata::Db;
use crate::metadata::labels::Labels;
use crate::snapshots::Snapshots;

/// Makes the records of containers whose bundles were found. What no file of a bundle tells is left out.
pub(super) fn record<'a>(
    bundles: impl Iterator<Item = &'a Bundle>,
    db: &Db,
    snapshots: &Snapshots,
) -> Result<()> {
    for bundle in bundles {
        let Some(runtime) = bundle.shim_path().map(|path| runtime_of(&path)) else { continue };
        let labels = Labels::from([(
            "containerd-rs/found".to_owned(),
            "in its bundle, after the metadata was lost".to_owned(),
        )]);
        let spec = std::fs::read(bundle.spec()).unwrap_or_else(|_| b"{}".to_vec());
        let snapshotter = snapshotter_of(bundle, snapshots);
        let container = Container {
            id: bundle.id.clone(),
            labels,
            runtime: Some(container::Runtime { name: runtime, options: None }),
            spec: Some(prost_types::Any { type_url: typeurl::SPEC.to_owned(), value: spec }),
            snapshot_key: snapshotter.map(|_| bundle.id.clone()).unwrap_or_default(),
            snapshotter: snapshotter.unwrap_or_default().to_owned(),
            ..Container::default()
        };
        match db.containers().create(&bundle.namespace, container) {
            Ok(_) => tracing::warn!(
                container = bundle.id,
                namespace = bundle.namespace,
                "a container was recorded again from its bundle"
            ),
            Err(error) if error.kind() == Kind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The runtime's name, out of its shim's path.
fn runtime_of(shim: &Path) -> String {
    let name = shim.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name.strip_prefix("containerd-shim-").and_then(|rest| rest.rsplit_once('-')) {
        Some((name, version)) => format!("io.containerd.{name}.{version}"),
        None => shim.display().to_string(),
    }
}

/// The snapshotter that has a snapshot of the container's name, as clients have it.
fn snapshotter_of(bundle: &Bundle, snapshots: &Snapshots) -> Option<&'static str> {
    let names: Vec<_> = snapshots.snapshotters().map(|snapshotter| snapshotter.name()).collect();
    names.into_iter().find(|name| snapshots.stat(&bundle.namespace, name, &bundle.id).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_called_as_its_shim_or_by_its_path() {
        let of = |path: &str| runtime_of(Path::new(path));
        assert_eq!(of("/usr/bin/containerd-shim-runc-v2"), "io.containerd.runc.v2");
        assert_eq!(of("/opt/containerd-shim-runcrs-v2"), "io.containerd.runcrs.v2");
        assert_eq!(of("/opt/my-shim"), "/opt/my-shim");
    }
}
