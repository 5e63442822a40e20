//! `ps`: the container's processes, as the host sees them.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::print;
use crate::cli::{Args, Flag, Global, option};
use crate::container::store::Entry;

pub(super) const USAGE: &str = "<container-id> [ps options]";

pub(super) const FLAGS: &[Flag] = &[option("format", "FORMAT", "table or json").short("f")];

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    args.expect("ps", 1, usize::MAX)?;
    let mut pids = Entry::open(&global.root, args.argument(0)?)?.read()?.cgroup.pids()?;
    pids.sort_unstable();
    match args.text("format")?.unwrap_or("table") {
        "json" => return Ok(i32::from(print(&format!("{}\n", serde_json::to_string(&pids)?)))),
        "table" => {}
        other => bail!("invalid format option: {other:?}"),
    }
    let options = if args.rest.len() > 1 { &args.rest[1..] } else { &["-ef".into()] };
    let output = Command::new("ps").args(options).stderr(Stdio::inherit()).output().context("run ps")?;
    if !output.status.success() {
        bail!("ps: {}", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let Some(column) = header.split_whitespace().position(|title| title == "PID") else {
        bail!("couldn't find PID field in ps output");
    };
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|p| p.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    let rows: String = lines.filter(ours).map(|line| format!("{line}\n")).collect();
    Ok(i32::from(print(&format!("{header}\n{rows}"))))
}
