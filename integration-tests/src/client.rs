//! A command line client on one daemon's socket: `ctr`, `docker`, `engine`, `podman`.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Netns, Output};

/// A client that is always called with the same first arguments, in one network namespace.
#[derive(Clone, Debug)]
pub struct Client {
    program: OsString,
    first: Vec<OsString>,
    netns: PathBuf,
    env: Vec<(OsString, OsString)>,
}

impl Client {
    /// `program` with `first` before all other arguments; `home` is its `$HOME`.
    pub fn new(netns: &Netns, home: &Path, program: impl Into<OsString>, first: Vec<OsString>) -> Self {
        Self { program: program.into(), first, netns: netns.path(), env: vec![("HOME".into(), home.into())] }
    }

    /// The same with one more variable in its environment.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Debian's `ctr` on a containerd's socket, in a namespace after the name of `home`: state and cgroups
    /// of runtimes are shared by all containerds of a machine, and tests run beside each other.
    pub fn ctr(netns: &Netns, home: &Path, socket: &Path) -> Self {
        let first = vec!["-a".into(), socket.into()];
        Self::new(netns, home, "ctr", first).with_env("CONTAINERD_NAMESPACE", namespace(home))
    }

    /// The real docker CLI, or ours, on a Docker API socket.
    pub fn docker(netns: &Netns, home: &Path, program: impl Into<OsString>, socket: &Path) -> Self {
        let host = format!("unix://{}", socket.display());
        Self::new(netns, home, program, vec!["-H".into(), host.into()])
    }

    /// The client alone with `args`, to be started inside [`Client::netns`] by somebody else.
    pub fn words(&self, args: &[&str]) -> Vec<OsString> {
        let mut words = vec![self.program.clone()];
        words.extend_from_slice(&self.first);
        words.extend(args.iter().map(OsString::from));
        words
    }

    /// The file that holds its network namespace.
    pub fn netns(&self) -> &Path {
        &self.netns
    }

    /// What is set in its environment.
    pub fn env(&self) -> &[(OsString, OsString)] {
        &self.env
    }

    /// Runs it to its end with nothing on its standard input.
    pub fn run(&self, args: &[&str]) -> Output {
        Output::of(&mut self.command(args))
    }

    /// Runs it with `input` on its standard input.
    ///
    /// # Panics
    /// It can't be started, or doesn't take the input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut child = self.start_with(Stdio::piped(), args);
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("write to the client");
        drop(stdin);
        child.wait_with_output().expect("wait for the client").into()
    }

    /// Runs it on a pseudo terminal of its own; the output is the terminal's.
    pub fn run_in_terminal(&self, args: &[&str]) -> Output {
        Output::of(&mut self.terminal_command(args))
    }

    /// Starts it on a pseudo terminal of its own, on which is typed what the caller writes.
    ///
    /// # Panics
    /// It can't be started.
    pub fn start_in_terminal(&self, args: &[&str]) -> Child {
        let mut command = self.terminal_command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|e| panic!("run {command:?}: {e}"))
    }

    fn terminal_command(&self, args: &[&str]) -> Command {
        let command = self.command(args);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> =
            words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))).collect();
        let mut script = crate::command("script");
        script.args(["-qec", &line.join(" "), "/dev/null"]).envs(self.env.clone());
        script
    }

    /// Starts it with its output in pipes: what the caller does with it is his.
    ///
    /// # Panics
    /// It can't be started.
    pub fn start(&self, args: &[&str]) -> Child {
        self.start_with(Stdio::null(), args)
    }

    fn start_with(&self, stdin: Stdio, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|e| panic!("run {command:?}: {e}"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = crate::command("nsenter");
        command.arg(format!("--net={}", self.netns.display())).arg(&self.program);
        command.args(&self.first).args(args).envs(self.env.clone());
        command
    }
}

/// The containerd namespace of the test that lives in `dir`.
pub fn namespace(dir: &Path) -> String {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("test-{}", name.rsplit('-').next().unwrap_or_default())
}

/// Removes what runtimes leave of a namespace when all its containers have gone: empty directories that the
/// machine's containerds share.
pub(crate) fn forget_namespace(dir: &Path) {
    let name = namespace(dir);
    // One that isn't empty stays, for a census to find.
    let _ = std::fs::remove_dir(Path::new("/run/containerd/runc").join(&name));
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        let _ = std::fs::remove_dir(hierarchy.path().join(&name));
    }
}
