//! runc-rs against runc and crun: `run`, a life from create to delete, and `exec`.
//!
//! All of them on one bundle, each with a root of its own, in one view of the cgroups after the other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use integration_tests::bin;

use crate::comparison::{Comparison, Contender, Cost, take_turns};
use crate::measure::{Meter, Usage};
use crate::rounds::Rounds;
use crate::view::View;
use crate::{bundle, report};

/// Compares the runtimes.
///
/// # Errors
/// A runtime fails, or the bench is interrupted.
pub(crate) fn compare(rounds: Rounds) -> Result<Vec<Comparison>> {
    let dir = tempfile::Builder::new().prefix("bench-runtime-").tempdir_in("/var/tmp")?;
    let mut comparisons = Vec::new();
    for view in View::all()? {
        comparisons.extend(in_view(&view, dir.path(), rounds)?);
    }
    Ok(comparisons)
}

fn in_view(view: &View, dir: &Path, rounds: Rounds) -> Result<Vec<Comparison>> {
    let dir = dir.join(view.title.replace(' ', "-"));
    integration_tests::busybox_rootfs(&dir.join("rootfs"));
    let cgroup = Cgroup(format!("bench-{}", std::process::id()));
    let (runtimes, notes) = runtimes(view, &dir, &cgroup)?;
    let rounds = rounds.fast(30);
    let compare = |deed: &str, sample: &dyn Fn(&Runtime) -> Result<Cost>| {
        let contenders = runtimes.iter().map(|r| Contender::new(&r.name, || sample(r))).collect();
        take_turns(format!("{deed}   ({})", view.title), notes.clone(), rounds, contenders)
    };
    let run = compare("run /bin/true", &|r| Ok(r.run()?.all()))?;
    let life = compare("create + start + delete, its process has ended", &|r| Ok(r.life()?.all()))?;
    let forced = compare("create + start + delete --force, its process runs", &|r| Ok(r.forced()?.all()))?;
    for runtime in &runtimes {
        runtime.call(&["create", "--bundle", &runtime.stays, "box"])?;
        runtime.call(&["start", "box"])?;
    }
    let exec = compare("exec /bin/true", &|r| Ok(r.call(&["exec", "box", "/bin/true"])?.all()))?;
    Ok(vec![run, life, forced, exec])
}

/// Ours, runc, crun as far as it works here, and crun without cgroups: it then does less than the others.
fn runtimes(view: &View, dir: &Path, cgroup: &Cgroup) -> Result<(Vec<Runtime>, Vec<String>)> {
    let new =
        |name: &str, words: Vec<OsString>, key: &str| Runtime::new(name, words, view, dir, (cgroup, key));
    let short = |program: &str| {
        let version = report::version(program).unwrap_or_else(|| program.to_owned());
        version.replace(" version", "")
    };
    let mut all = vec![
        new("runc-rs", vec![bin("runc-rs").into()], "runc-rs")?,
        new(&short("runc"), vec!["runc".into()], "runc")?,
    ];
    let mut notes = Vec::new();
    let crun = new(&short("crun"), vec!["crun".into()], "crun")?;
    match crun.run() {
        Ok(_) => all.push(crun),
        Err(error) => notes.push(format!(
            "crun with its cgroups on does not work here under {}: {}",
            view.title,
            error
                .to_string()
                .lines()
                .last()
                .and_then(|line| line.rsplit("exit code ").next())
                .unwrap_or_default()
        )),
    }
    let words = vec!["crun".into(), "--cgroup-manager=disabled".into()];
    all.push(new("crun, its cgroups off", words, "crun-off")?);
    notes
        .push("crun, its cgroups off: --cgroup-manager=disabled, so it does less than the others".to_owned());
    Ok((all, notes))
}

/// A runtime with a root of its own; what is left in it is deleted at the end.
struct Runtime {
    name: String,
    words: Vec<OsString>,
    root: PathBuf,
    /// Bundle of a container that ends at once.
    ends: String,
    /// Bundle of a container that stays.
    stays: String,
    around: Vec<OsString>,
    meter: Meter,
}

impl Runtime {
    fn new(
        name: &str,
        mut words: Vec<OsString>,
        view: &View,
        dir: &Path,
        (cgroup, key): (&Cgroup, &str),
    ) -> Result<Self> {
        let bundle = |kind: &str, args: &[&str]| -> Result<String> {
            let path = dir.join(format!("{key}-{kind}"));
            bundle::write(&path, &dir.join("rootfs"), args, &format!("/{}/{key}", cgroup.0), view.v2)?;
            Ok(path.to_str().context("a temporary path is UTF-8")?.to_owned())
        };
        let root = dir.join(key);
        words.extend(["--root".into(), root.clone().into()]);
        Ok(Self {
            name: name.to_owned(),
            words,
            root,
            ends: bundle("ends", &["/bin/true"])?,
            stays: bundle("stays", &["/bin/sleep", "1000000"])?,
            around: view.around(),
            meter: Meter::new(view.around())?,
        })
    }

    fn call(&self, args: &[&str]) -> Result<Usage> {
        let mut words = self.words.clone();
        words.extend(args.iter().map(OsString::from));
        self.meter.run(Path::new("/"), &words)
    }

    fn run(&self) -> Result<Usage> {
        self.call(&["run", "--bundle", &self.ends, "box"])
    }

    fn life(&self) -> Result<Usage> {
        let pid_file = self.root.with_extension("pid");
        let pid_file = pid_file.to_str().context("a temporary path is UTF-8")?;
        let created = self.call(&["create", "--bundle", &self.ends, "--pid-file", pid_file, "box"])?;
        let started = self.call(&["start", "box"])?;
        wait_for_the_end(pid_file)?;
        Ok(created.then(started).then(self.call(&["delete", "box"])?))
    }

    fn forced(&self) -> Result<Usage> {
        let created = self.call(&["create", "--bundle", &self.stays, "box"])?;
        let started = self.call(&["start", "box"])?;
        Ok(created.then(started).then(self.call(&["delete", "--force", "box"])?))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            let words: Vec<&OsString> = self.around.iter().chain(&self.words).collect();
            let _ = Command::new(words[0])
                .args(&words[1..])
                .args(["delete", "--force"])
                .arg(entry.file_name())
                .status();
        }
    }
}

/// The end itself isn't the runtime's to cause, so the wait for it isn't measured.
fn wait_for_the_end(pid_file: &str) -> Result<()> {
    let pid = std::fs::read_to_string(pid_file).with_context(|| format!("read {pid_file}"))?;
    for _ in 0..10_000 {
        match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
            Ok(stat) if !stat.contains(") Z ") => std::thread::sleep(Duration::from_millis(1)),
            _ => return Ok(()),
        }
    }
    anyhow::bail!("the container's process {pid} does not end")
}

/// The folder of all containers' cgroups, in every hierarchy; removed at the end.
struct Cgroup(String);

impl Drop for Cgroup {
    fn drop(&mut self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
            let Some(mount) = line.split(' ').nth(4) else { continue };
            let folder = Path::new(mount).join(&self.0);
            // crun leaves its container's behind where it fails.
            for left in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let _ = std::fs::remove_dir(left.path());
            }
            let _ = std::fs::remove_dir(folder);
        }
    }
}
