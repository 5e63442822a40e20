//! A container's root file system: the daemon's mounts, on `BUNDLE/rootfs`.

use std::error::Error as _;
use std::path::Path;

use proto::containerd::types::Mount;

use crate::complaint::complain;
use crate::failure::Failure;

/// Mounts all of them, the first at the bottom.
///
/// # Errors
/// One can't be mounted; those before it are unmounted again.
pub(crate) fn assemble(bundle: &Path, mounts: &[Mount]) -> Result<(), Failure> {
    if mounts.is_empty() {
        return Ok(());
    }
    let target = bundle.join("rootfs");
    std::fs::create_dir_all(&target).map_err(|e| Failure::io("create", target.display(), e))?;
    let list: Vec<mounts::Mount> = mounts
        .iter()
        .map(|one| mounts::Mount {
            kind: one.r#type.clone(),
            source: one.source.clone(),
            target: one.target.clone(),
            options: one.options.clone(),
        })
        .collect();
    mounts::mount_all(&list, &target).map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::unknown(format!("failed to mount rootfs component: {error}{cause}"))
    })
}

/// Unmounts whatever is on `BUNDLE/rootfs` and below; nothing there is fine.
pub(crate) fn disassemble(bundle: &Path) {
    if let Err(error) = mounts::unmount_below(&bundle.join("rootfs")) {
        complain!("{error}");
    }
}
