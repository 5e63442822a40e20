//! A network namespace for one test: its bridges, ports and firewall rules touch nobody else's.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

use crate::{Output, binaries};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A named network namespace with loopback up; removed at drop.
#[derive(Debug)]
pub struct Netns {
    name: String,
    /// A link that goes with it, at once: the namespace itself may live on for a while.
    cable: Option<&'static str>,
}

impl Netns {
    /// Makes one.
    ///
    /// # Panics
    /// `ip netns` fails (it needs root).
    pub fn new() -> Self {
        let name = format!("stk{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name]);
        run("ip", &["-n", &name, "link", "set", "lo", "up"]);
        Self { name, cable: None }
    }

    /// The file that holds it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}", self.name))
    }

    /// A neighbour at the other end of a cable: we are 10.98.0.1 and fd98::1 to it, it is 10.98.0.2 and fd98::2.
    /// It knows no way to anything behind us.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn outside(&self) -> Self {
        let mut outside = Self::new();
        outside.cable = Some("eth0");
        let pair = ["link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", &outside.name];
        run("ip", &[&["-n", &self.name], &pair[..]].concat());
        for (netns, link, end) in [(&self.name, "uplink", 1), (&outside.name, "eth0", 2)] {
            run("ip", &["-n", netns, "addr", "add", &format!("10.98.0.{end}/24"), "dev", link]);
            run("ip", &["-n", netns, "addr", "add", &format!("fd98::{end}/64"), "dev", link, "nodad"]);
            run("ip", &["-n", netns, "link", "set", link, "up"]);
        }
        outside
    }

    /// A shell command inside.
    pub fn shell(&self, script: &str) -> Output {
        Output::of(self.command("sh").args(["-c", script]))
    }

    /// A command inside. `nsenter --net` keeps the mount namespace, which `ip netns exec` does not:
    /// it hides the cgroup mounts.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = binaries::command("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg(program);
        command
    }
}

/// Runs `work` on a thread that has entered the network namespace of a file: sockets it opens stay there.
///
/// # Panics
/// There is no such namespace, or `work` panics.
pub fn in_netns<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(netns).unwrap_or_else(|e| panic!("open {}: {e}", netns.display()));
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            setns(file, CloneFlags::CLONE_NEWNET).expect("enter a network namespace");
            work()
        });
        inside.join().expect("the work in a network namespace")
    })
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Some(link) = self.cable {
            let _ = Command::new("ip").args(["-n", &self.name, "link", "del", link]).status();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap_or_else(|e| panic!("run {program}: {e}"));
    assert!(status.success(), "{program} {args:?}: {status}");
}
