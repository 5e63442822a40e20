//! The daemons that are compared, each in a network namespace and an account of its own.

use std::ffi::OsString;

use anyhow::{Context, Result, ensure};
use integration_tests::{Client, Containerd, Dockerd, Podman, Stack};

use crate::accounting::Account;
use crate::comparison::{Cost, Figure};
use crate::measure::Meter;

/// engined, containerd-rs, our shim, runc-rs.
pub(crate) struct Ours {
    pub(crate) stack: Stack,
    pub(crate) account: Account,
}

impl Ours {
    /// `name` tells its account from another stack's.
    pub(crate) fn start(name: &str) -> Result<Self> {
        let (stack, account) = (Stack::start_quiet(), Account::new(name)?);
        account.adopt(stack.dir())?;
        Ok(Self { stack, account })
    }
}

/// Debian's dockerd with its own containerd.
pub(crate) struct Docker {
    pub(crate) dockerd: Dockerd,
    pub(crate) account: Account,
}

impl Docker {
    pub(crate) fn start() -> Result<Self> {
        let (dockerd, account) = (Dockerd::start(None), Account::new("docker")?);
        account.adopt(dockerd.dir())?;
        Ok(Self { dockerd, account })
    }
}

/// Debian's containerd.
pub(crate) struct DebiansContainerd {
    pub(crate) containerd: Containerd,
    pub(crate) account: Account,
}

impl DebiansContainerd {
    pub(crate) fn start() -> Result<Self> {
        let (containerd, account) = (Containerd::start(), Account::new("containerd")?);
        account.adopt(containerd.dir())?;
        Ok(Self { containerd, account })
    }
}

/// podman on a store of its own.
pub(crate) struct Pod {
    pub(crate) podman: Podman,
    pub(crate) account: Account,
    /// The runtime it works with: crun as Debian sets it, runc where crun refuses the host.
    pub(crate) runtime: &'static str,
}

impl Pod {
    pub(crate) fn start() -> Result<Self> {
        let runtime = if crun_works() { "/usr/bin/crun" } else { "/usr/sbin/runc" };
        Ok(Self { podman: Podman::new(runtime.as_ref()), account: Account::new("podman")?, runtime })
    }
}

/// crun 1.8 says no to hybrid hosts whatever it is asked for.
fn crun_works() -> bool {
    !std::path::Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists()
}

/// A client whose commands are measured together with all that they set going.
pub(crate) struct Measured<'a> {
    client: Client,
    account: &'a Account,
    meter: Meter,
    before: f64,
}

impl<'a> Measured<'a> {
    pub(crate) fn new(client: Client, account: &'a Account) -> Result<Self> {
        let mut netns = OsString::from("--net=");
        netns.push(client.netns());
        let mut around: Vec<OsString> = vec!["env".into()];
        for (name, value) in client.env() {
            let mut setting = name.clone();
            setting.push("=");
            setting.push(value);
            around.push(setting);
        }
        around.extend([
            "sh".into(),
            "-c".into(),
            account.enter().into(),
            "sh".into(),
            "nsenter".into(),
            netns,
        ]);
        Ok(Self { client, account, meter: Meter::new(around)?, before: account.used_ms()? })
    }

    /// Runs the client: wall time, and the processor time of everything since the last sample's end, so
    /// that work done after the answer counts too.
    ///
    /// # Errors
    /// The command fails.
    pub(crate) fn sample(&mut self, args: &[&str]) -> Result<Cost> {
        let usage = self.meter.run("/".as_ref(), &self.client.words(args))?;
        let used = self.account.used_ms().context("read the account")?;
        let cpu = used - self.before;
        self.before = used;
        Ok(vec![(Figure::Wall, usage.wall_ms), (Figure::Cpu, cpu)])
    }

    /// Runs the client outside the measurement.
    ///
    /// # Errors
    /// The command fails.
    pub(crate) fn aside(&self, args: &[&str]) -> Result<()> {
        let output = self.client.run(args);
        ensure!(output.code == 0, "{args:?}: {}{}", output.stdout, output.stderr);
        Ok(())
    }

    /// What was used up to now isn't the next sample's.
    ///
    /// # Errors
    /// The account can't be read.
    pub(crate) fn forget(&mut self) -> Result<()> {
        self.before = self.account.used_ms()?;
        Ok(())
    }
}
