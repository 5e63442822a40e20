//! Where the binaries under test are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder of the binaries under test: `STACK_BIN_DIR`, else `target/stack` of this workspace.
pub fn bin_dir() -> PathBuf {
    std::env::var_os("STACK_BIN_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/stack")), PathBuf::from)
}

/// A binary under test.
///
/// # Panics
/// It wasn't built; the message says how.
pub fn bin(name: &str) -> PathBuf {
    let path = bin_dir().join(name);
    assert!(path.exists(), "{} is missing: run `make debug` (or `make test`)", path.display());
    path.canonicalize().unwrap_or(path)
}

/// `PATH` with our binaries before the system's.
pub fn path_with_ours() -> String {
    let dir = bin_dir().canonicalize().unwrap_or_else(|_| bin_dir());
    format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", dir.display())
}

/// A command that finds our binaries first.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", path_with_ours()).env_remove("DOCKER_HOST").env_remove("ENGINE_HOST");
    command
}

/// A folder below `dir` in which our shim goes by the name of Go's.
///
/// # Panics
/// The link can't be made.
pub fn our_shim_as_gos(dir: &Path) -> PathBuf {
    let shims = dir.join("shims");
    std::fs::create_dir_all(&shims).expect("make a folder of shims");
    let link = shims.join("containerd-shim-runc-v2");
    std::os::unix::fs::symlink(bin("containerd-shim-runcrs-v2"), link).expect("link the shim");
    shims
}
