use std::os::unix::fs::PermissionsExt;

use super::super::bundle::Layout;
use super::*;

fn launcher(directory: &Path) -> Launcher {
    Launcher {
        address: "/run/x/containerd.sock".into(),
        ttrpc_address: "/run/x/containerd.sock.ttrpc".into(),
        daemon: directory.join("containerd-rs"),
        debug: false,
    }
}

fn shim(directory: &Path, name: &str, script: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}")).expect("write");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    path
}

fn bundle(directory: &Path) -> Bundle {
    let bundle = Bundle::of(&Layout::new(&directory.join("root"), &directory.join("state")), "ns", "id");
    bundle.create(b"{}").expect("bundle");
    bundle
}

#[test]
fn a_runtime_is_found_beside_the_daemon_or_by_its_path() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = shim(dir.path(), "containerd-shim-testing-v7", "");
    let launcher = launcher(dir.path());
    assert_eq!(launcher.resolve("io.containerd.testing.v7").expect("beside"), path);
    assert_eq!(launcher.resolve(path.to_str().expect("UTF-8")).expect("path"), path);
    let missing = launcher.resolve("io.containerd.none.v1").expect_err("missing").to_string();
    assert!(missing.contains("runtime \"io.containerd.none.v1\" binary not installed"), "{missing}");
    for bad in ["runc", "a/b.c", ".v2", "x.", ""] {
        assert_eq!(launcher.resolve(bad).expect_err(bad).kind(), Kind::InvalidArgument);
    }
}

#[tokio::test]
async fn start_gets_the_contracts_arguments_environment_and_input() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let bundle = bundle(dir.path());
    let script = "echo \"$@\" > said; echo $TTRPC_ADDRESS $NAMESPACE $MAX_SHIM_VERSION >> said\n\
                  cat > input; pwd >> said; echo noise >&2; printf unix:///s";
    let binary = shim(dir.path(), "s", script);
    let options = Any { type_url: "x".into(), value: b"y".to_vec() };
    let answer = launcher(dir.path()).start(&binary, &bundle, Some(&options)).await.expect("start");
    assert_eq!(answer.address, "unix:///s");
    let said = std::fs::read_to_string(bundle.path().join("said")).expect("said");
    let daemon = dir.path().join("containerd-rs");
    let wanted = format!(
        "-namespace ns -address /run/x/containerd.sock -publish-binary {} -id id start\n\
         /run/x/containerd.sock.ttrpc ns 2\n{}\n",
        daemon.display(),
        bundle.path().display(),
    );
    assert_eq!(said, wanted);
    assert_eq!(std::fs::read(bundle.path().join("input")).expect("input"), options.encode_to_vec());
}

#[tokio::test]
async fn a_failing_start_gives_its_output_and_exit_code() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let bundle = bundle(dir.path());
    let binary = shim(dir.path(), "s", "echo oh dear >&2; exit 3");
    let error = launcher(dir.path()).start(&binary, &bundle, None).await.expect_err("fails");
    assert_eq!(error.to_string(), "start failed: oh dear: exit status: 3");
}

#[tokio::test]
async fn a_shim_that_keeps_its_pipe_open_doesnt_hold_the_daemon() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let bundle = bundle(dir.path());
    let binary = shim(dir.path(), "s", "sleep 30 & echo $! > pid; printf unix:///s");
    let error = launcher(dir.path()).start(&binary, &bundle, None).await.expect_err("refused");
    assert!(error.to_string().contains("left its output open"), "{error}");
    let pid = std::fs::read_to_string(bundle.path().join("pid")).expect("pid");
    let pid = nix::unistd::Pid::from_raw(pid.trim().parse().expect("number"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill");
}
