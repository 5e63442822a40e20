//! The OCI runtime: its command lines, and what it says about failures.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::options::Options;

/// A runtime as one container uses it.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    binary: PathBuf,
    root: PathBuf,
    bundle: PathBuf,
    systemd_cgroup: bool,
}

/// Where the log stood when a call began: later lines are that call's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogPosition(u64);

impl Runtime {
    pub(crate) fn new(options: &Options, namespace: &str, bundle: &Path) -> Self {
        let root = if options.root.is_empty() { "/run/containerd/runc" } else { &options.root };
        Self {
            binary: if options.binary_name.is_empty() {
                default_binary()
            } else {
                PathBuf::from(&options.binary_name)
            },
            root: Path::new(root).join(namespace),
            bundle: bundle.to_owned(),
            systemd_cgroup: options.systemd_cgroup,
        }
    }

    /// A call with nothing on its stdio but a file for stderr: a pipe would be held open by the container.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.root).arg("--log").arg(self.log()).args(["--log-format", "json"]);
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Ok(file) = self.stderr_file() {
            command.stderr(file);
        }
        command
    }

    fn stderr_file(&self) -> io::Result<File> {
        File::options().append(true).create(true).mode(0o600).open(self.bundle.join("runtime.stderr"))
    }

    fn log(&self) -> PathBuf {
        self.bundle.join("log.json")
    }

    pub(crate) fn log_position(&self) -> LogPosition {
        drop(fs::remove_file(self.bundle.join("runtime.stderr")));
        LogPosition(fs::metadata(self.log()).map_or(0, |meta| meta.len()))
    }

    /// Why a call failed: the log's last error, else what it wrote to stderr, else how it ended.
    pub(crate) fn error_text(&self, since: LogPosition, ended: &str) -> String {
        let logged = self.last_error(since);
        let text = logged.or_else(|| {
            let text = fs::read_to_string(self.bundle.join("runtime.stderr")).ok()?;
            let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
            Some(line.trim().to_owned())
        });
        text.unwrap_or_else(|| {
            format!("unable to retrieve OCI runtime error: {}: {ended}", self.binary.display())
        })
    }

    fn last_error(&self, since: LogPosition) -> Option<String> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(default)]
            level: String,
            #[serde(default)]
            msg: String,
        }
        let mut file = File::open(self.log()).ok()?;
        file.seek(SeekFrom::Start(since.0)).ok()?;
        let mut text = Vec::new();
        file.take(1 << 20).read_to_end(&mut text).ok()?;
        let lines = text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        let errors = lines.filter(|line| line.level == "error" || line.level == "fatal");
        errors.map(|line| line.msg.trim().to_owned()).rfind(|msg| !msg.is_empty())
    }

    /// The text for a runtime that couldn't even be executed; Docker looks for these words.
    pub(crate) fn missing_text(&self, error: &io::Error) -> String {
        let name = self.binary.display();
        if error.kind() == io::ErrorKind::NotFound && self.binary.components().count() == 1 {
            return format!("exec: \"{name}\": executable file not found in $PATH");
        }
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        format!("fork/exec {name}: {reason}")
    }
}

/// Ours beside this binary, else ours on PATH, else runc.
fn default_binary() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("runc-rs")));
    if let Some(path) = beside.filter(|path| path.is_file()) {
        return path;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|dir| dir.join("runc-rs")).find(|path| path.is_file()) {
        Some(path) => path,
        None => PathBuf::from("runc"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(bundle: &Path, binary: &str) -> Runtime {
        let options = Options { binary_name: binary.into(), ..Options::default() };
        Runtime::new(&options, "ns", bundle)
    }

    #[test]
    fn the_command_line_is_the_one_runtimes_know() {
        let command = runtime(Path::new("/b"), "crun").command(&["kill", "a", "9"]);
        let args: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        assert_eq!(
            args.join(" "),
            "--root /run/containerd/runc/ns --log /b/log.json --log-format json kill a 9"
        );
    }

    #[test]
    fn the_last_error_of_this_call_is_the_reason() {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = runtime(dir.path(), "runc");
        let old = "{\"level\":\"error\",\"msg\":\"old\"}\n";
        fs::write(dir.path().join("log.json"), old).expect("writable");
        let since = runtime.log_position();
        assert_eq!(
            runtime.error_text(since, "exit status 1"),
            "unable to retrieve OCI runtime error: runc: exit status 1"
        );
        let lines = "{\"level\":\"error\",\"msg\":\"a\"}\n{\"level\":\"error\",\"msg\":\"b\"}\n{\"level\":\"debug\",\"msg\":\"c\"}\n";
        fs::write(dir.path().join("log.json"), format!("{old}{lines}")).expect("writable");
        assert_eq!(runtime.error_text(since, "exit status 1"), "b");
    }

    #[test]
    fn a_missing_binary_is_told_in_the_words_docker_looks_for() {
        let error = io::Error::from(io::ErrorKind::NotFound);
        assert!(runtime(Path::new("/b"), "nope").missing_text(&error).contains("executable file not found"));
        assert!(
            runtime(Path::new("/b"), "/x/nope").missing_text(&error).contains("no such file or directory")
        );
    }
}
