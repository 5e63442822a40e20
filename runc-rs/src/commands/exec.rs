//! `exec`: another process in a container.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};

use super::create::console;
use super::preserved;
use crate::cli::{Args, Flag, Global, option, switch};
use crate::config::capabilities::CapabilitySets;
use crate::config::spec::{Capabilities, Process};
use crate::config::{load, validate};
use crate::container::console_proxy;
use crate::container::exec::{Options, SubCgroup, exec};
use crate::container::foreground::{Signals, wait};
use crate::container::state::State;
use crate::container::store::Entry;

pub(super) const USAGE: &str = "<container-id> <command> [command options] || -p process.json <container-id>";

pub(super) const FLAGS: &[Flag] = &[
    option("console-socket", "PATH", "AF_UNIX socket that receives the controlling side of the terminal"),
    option("cwd", "DIR", "current working directory in the container"),
    option("env", "K=V", "set environment variables").short("e"),
    switch("tty", "allocate a pseudo-TTY").short("t"),
    option("user", "UID[:GID]", "ids of the process").short("u"),
    option("additional-gids", "GID", "additional gids").short("g"),
    option("process", "FILE", "path to the process.json").short("p"),
    switch("detach", "detach from the container's process").short("d"),
    option("pid-file", "FILE", "file to write the process id to"),
    option("pidfd-socket", "PATH", "AF_UNIX socket that receives a pidfd of the process"),
    option("process-label", "LABEL", "security label of the process (SELinux)"),
    option("apparmor", "PROFILE", "apparmor profile of the process"),
    switch("no-new-privs", "set the no new privileges value for the process"),
    option("cap", "CAP", "add a capability to the bounding, permitted and effective set").short("c"),
    option("preserve-fds", "N", "pass N additional file descriptors to the container (default: 0)"),
    option("cgroup", "[CONTROLLER:]PATH", "run the process in sub-cgroups of the container's"),
    switch("ignore-paused", "allow exec in a paused container"),
    switch("no-subreaper", "accepted and ignored"),
];

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    args.expect("exec", 1, usize::MAX)?;
    let preserve_fds = preserved(args)?;
    let detach = args.is_set("detach");
    let entry = Entry::open(&global.root, args.argument(0)?)?;
    let state = entry.read()?;
    let mut process = process(args, &state)?;
    if let Some(warning) = process.capabilities.as_ref().and_then(CapabilitySets::warning) {
        global.log.warn(&warning);
    }
    let console = console(args, process.terminal, detach)?;
    let signals = if detach { None } else { Some(Signals::catch()?) };
    let (ours, console) = match (console, process.terminal) {
        (None, true) => {
            let (theirs, ours) = console_proxy::pair()?;
            process.console_size = console_proxy::size().or(process.console_size);
            (Some(ours), Some(theirs))
        }
        (console, _) => (None, console),
    };
    let options = Options {
        process,
        pid_file: args.path("pid-file"),
        pidfd_socket: args.path("pidfd-socket"),
        console,
        preserve_fds,
        ignore_paused: args.is_set("ignore-paused"),
        cgroup: sub_cgroup(&args.all("cgroup")?)?,
    };
    let (pid, pidfd) = exec(&entry, &state, options)?;
    let Some(signals) = signals else { return Ok(0) };
    let master = ours.as_ref().map(console_proxy::receive).transpose()?;
    wait(&signals, pid, &pidfd, master)
}

/// `PATH`, or several `CONTROLLER[,CONTROLLER]:PATH`.
fn sub_cgroup(args: &[&str]) -> anyhow::Result<SubCgroup> {
    let mut places: Vec<(String, PathBuf)> = Vec::new();
    for one in args {
        let Some((controllers, path)) = one.split_once(':') else {
            if args.len() > 1 {
                bail!("invalid --cgroup argument: {one} (missing <controller>: prefix)");
            }
            return Ok(SubCgroup::All(PathBuf::from(one)));
        };
        if path.contains(':') {
            bail!("invalid --cgroup argument: {one}");
        }
        for name in controllers.split(',') {
            if places.iter().any(|(known, _)| known == name) {
                bail!("invalid --cgroup argument(s): controller {name} specified multiple times");
            }
            places.push((name.to_owned(), PathBuf::from(path)));
        }
    }
    Ok(if places.is_empty() { SubCgroup::None } else { SubCgroup::Of(places) })
}

/// From `--process`, or the bundle's process with what the command line changes.
fn process(args: &Args, state: &State) -> anyhow::Result<Process> {
    if let Some(path) = args.path("process") {
        let process = load::process(&path)?;
        validate::process(&process)?;
        return Ok(process);
    }
    if args.rest.len() < 2 {
        bail!("process args cannot be empty");
    }
    let mut process = load::spec(&state.bundle)?.process.context("process property must not be empty")?;
    process.args =
        (1..args.rest.len()).map(|i| args.argument(i).map(str::to_owned)).collect::<Result<_, _>>()?;
    if let Some(cwd) = args.text("cwd")? {
        process.cwd = cwd.to_owned();
    }
    if let Some(profile) = args.text("apparmor")? {
        process.apparmor_profile = profile.to_owned();
    }
    if let Some(label) = args.text("process-label")? {
        process.selinux_label = label.to_owned();
    }
    let added = args.all("cap")?;
    if !added.is_empty() {
        let caps = process.capabilities.get_or_insert_with(Capabilities::default);
        for cap in added {
            // Not inheritable, not ambient: a program would hand it on (CVE-2022-29162).
            for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
                set.push(cap.to_owned());
            }
        }
    }
    process.env.extend(args.all("env")?.into_iter().map(str::to_owned));
    process.terminal = args.is_set("tty");
    process.console_size = None;
    if args.is_set("no-new-privs") {
        process.no_new_privileges = Some(true);
    }
    if let Some(user) = args.text("user")? {
        let (uid, gid) = user_ids(user)?;
        process.user.uid = uid;
        if let Some(gid) = gid {
            process.user.gid = gid;
        }
    }
    for gid in args.all("additional-gids")? {
        process.user.additional_gids.push(id("additional gid", gid)?);
    }
    validate::process(&process)?;
    Ok(process)
}

/// Digits only: a sign or a blank that a lenient parser takes must not make another user of it
/// (CVE-2026-30892).
fn user_ids(text: &str) -> anyhow::Result<(u32, Option<u32>)> {
    match text.split_once(':') {
        Some((uid, gid)) => Ok((id("uid", uid)?, Some(id("gid", gid)?))),
        None => Ok((id("uid", text)?, None)),
    }
}

fn id(what: &str, text: &str) -> anyhow::Result<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // The highest means "unchanged" to the kernel.
    let number = text.parse::<u32>().ok().filter(|n| digits && *n != u32::MAX);
    number.ok_or_else(|| anyhow!("parsing {text:?} as int for {what} failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_one_path_or_one_for_each_controller() {
        assert_eq!(sub_cgroup(&[]).unwrap(), SubCgroup::None);
        assert_eq!(sub_cgroup(&["a/b"]).unwrap(), SubCgroup::All("a/b".into()));
        let both = ["cpu", "cpuacct"].map(|name| (name.to_owned(), PathBuf::from("a"))).to_vec();
        assert_eq!(sub_cgroup(&["cpu,cpuacct:a"]).unwrap(), SubCgroup::Of(both));
        for bad in [&["a", "b"][..], &["cpu:a", "b"], &["cpu:a", "cpu:b"], &["cpu:a:b"]] {
            assert!(sub_cgroup(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn cve_2026_30892_every_form_of_a_user_is_those_ids_or_an_error() {
        assert_eq!(user_ids("1").unwrap(), (1, None));
        assert_eq!(user_ids("1:2").unwrap(), (1, Some(2)));
        assert_eq!(user_ids("0").unwrap(), (0, None));
        for bad in
            ["", "+1", " 1", "1 ", "-1", "1:", ":1", "4294967296", "4294967295", "root", "1:2:3", "0x1"]
        {
            assert!(user_ids(bad).is_err(), "{bad:?}");
        }
    }
}
