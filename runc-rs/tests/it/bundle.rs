//! A bundle with a busybox root file system, and a runtime with a state directory of its own. Both are gone
//! at the end of the test, containers included.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

const APPLETS: &[&str] = &[
    "cat", "cut", "dd", "echo", "env", "grep", "head", "hostname", "id", "ionice", "kill", "ls", "mkdir",
    "mknod", "mount", "pwd", "readlink", "rm", "sh", "sleep", "stat", "stty", "touch", "true", "tty",
    "umask", "uname", "wc",
];

pub(crate) struct Bundle {
    pub(crate) dir: PathBuf,
    pub(crate) spec: Value,
    id: String,
}

/// What a command of the runtime did.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            // The text log quotes its message; what is compared is the message.
            stderr: String::from_utf8_lossy(&output.stderr).replace("\\\"", "\""),
        }
    }
}

/// `RUNC_RS_TEST_RUNTIME` (`make test` sets the static build, the one that is shipped), else cargo's build.
pub(crate) fn runtime() -> PathBuf {
    std::env::var_os("RUNC_RS_TEST_RUNTIME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_runc-rs")))
}

/// By another process: a child of another test's thread might hold our descriptor for writing when it is executed
/// (ETXTBSY).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "copy {}", from.display());
}

impl Bundle {
    /// `sh -c SCRIPT` in a container with the usual mounts and namespaces.
    pub(crate) fn new(script: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("rrt-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&id);
        let bin = dir.join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(dir.join("rootfs/etc")).unwrap();
        fs::create_dir_all(dir.join("rootfs/tmp")).unwrap();
        copy_program(Path::new("/bin/busybox"), &bin.join("busybox"));
        APPLETS.iter().for_each(|name| symlink("busybox", bin.join(name)).unwrap());
        let spec = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["sh", "-c", script],
                "env": ["PATH=/bin"],
                "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
                "noNewPrivileges": true
            },
            "root": {"path": "rootfs", "readonly": false},
            "hostname": "box",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
            ],
            "linux": {
                "resources": {"devices": [{"allow": false, "access": "rwm"}]},
                "namespaces": [
                    {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}
                ],
                "maskedPaths": ["/proc/kcore", "/proc/acpi"],
                "readonlyPaths": ["/proc/sys"]
            }
        });
        Self { dir, spec, id }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The runtime with this bundle's config.json written and its state directory chosen.
    pub(crate) fn command(&self, runtime: &Path, args: &[&str]) -> Command {
        let (config, text) = (self.dir.join("config.json"), self.spec.to_string());
        // Only when it changed: an exec of another thread may be reading it.
        if fs::read(&config).ok().as_deref() != Some(text.as_bytes()) {
            fs::write(config, text).unwrap();
        }
        let mut command = Command::new(runtime);
        command.arg("--root").arg(self.state_dir()).args(args).current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    /// A command that ends by itself.
    pub(crate) fn call(&self, args: &[&str]) -> Answer {
        self.call_with(&runtime(), args)
    }

    pub(crate) fn call_with(&self, runtime: &Path, args: &[&str]) -> Answer {
        self.command(runtime, args).output().unwrap().into()
    }

    /// Runs the container to its end.
    pub(crate) fn run(&self) -> Answer {
        self.call(&["run", &self.id])
    }

    /// The output of a container that must end well.
    pub(crate) fn output(&self) -> String {
        let answer = self.run();
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.stdout
    }

    /// `create` or `run -d`: the init keeps the output open, so that it is a file.
    pub(crate) fn detached(&self, args: &[&str]) -> Answer {
        let (out, err) = (self.dir.join("out"), self.dir.join("err"));
        let mut command = self.command(&runtime(), args);
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        let code = command.status().unwrap().code().unwrap_or(-1);
        Answer {
            code,
            stdout: fs::read_to_string(out).unwrap(),
            stderr: fs::read_to_string(err).unwrap().replace("\\\"", "\""),
        }
    }

    /// A container that runs until it is killed.
    pub(crate) fn running() -> Self {
        let bundle = Self::new("sleep 1000");
        bundle.start_detached();
        bundle
    }

    pub(crate) fn start_detached(&self) {
        let answer = self.detached(&["run", "-d", &self.id]);
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    pub(crate) fn exec(&self, args: &[&str]) -> Answer {
        self.call(&[&["exec"], args].concat())
    }

    /// What `state` prints; null if it fails.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.id]).stdout).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap_or("none").to_owned()
    }

    /// The init, as the host numbers it.
    pub(crate) fn pid(&self) -> i64 {
        self.state()["pid"].as_i64().expect("the container has a pid")
    }

    /// What the init has written so far, when it was started by [`Bundle::detached`].
    pub(crate) fn written(&self) -> String {
        fs::read_to_string(self.dir.join("out")).unwrap_or_default()
    }

    /// Asks until it is so; a test that waits in vain fails here.
    pub(crate) fn wait_for(&self, status: &str) {
        for _ in 0..500 {
            if self.status() == status {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{} never became {status}, it is {}", self.id, self.status());
    }

    pub(crate) fn namespace(&mut self, kind: &str) {
        self.spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": kind}));
    }

    pub(crate) fn without_namespace(&mut self, kind: &str) {
        self.spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != kind);
    }

    pub(crate) fn mount(&mut self, mount: Value) {
        self.spec["mounts"].as_array_mut().unwrap().push(mount);
    }

    /// Adds to a list of the process' user or of `linux`, by its JSON pointer.
    pub(crate) fn push(&mut self, pointer: &str, value: Value) {
        self.spec.pointer_mut(pointer).and_then(Value::as_array_mut).expect("a list").push(value);
    }

    /// No state, no cgroup of this container is left.
    pub(crate) fn assert_nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.state_dir()).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        let cgroups = Command::new("find").args(["/sys/fs/cgroup", "-name", &self.id]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&cgroups.stdout), "");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "-f", &self.id]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}
