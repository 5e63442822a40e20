//! What is kept of a run: `target/bench/PART.json` with the machine, the versions and every raw sample.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::comparison::{Comparison, Series};
use crate::statistics::ratio;

/// Folder of the results and of what is kept between runs.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench")
}

/// Writes `PART.json` and says where it is.
///
/// # Errors
/// The folder can't be written.
pub(crate) fn write(part: &str, comparisons: &[Comparison]) -> Result<PathBuf> {
    let folder = folder();
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let document = json!({
        "part": part,
        "taken_at_unix_seconds": seconds,
        "machine": machine(),
        "versions": versions(),
        "comparisons": comparisons.iter().map(comparison).collect::<Vec<_>>(),
    });
    let path = folder.join(format!("{part}.json"));
    let unfinished = folder.join(format!(".{part}.json.new"));
    let text = serde_json::to_string_pretty(&document)?;
    std::fs::write(&unfinished, text + "\n").with_context(|| format!("write {}", unfinished.display()))?;
    std::fs::rename(&unfinished, &path).with_context(|| format!("name {}", path.display()))?;
    Ok(path.canonicalize().unwrap_or(path))
}

fn comparison(comparison: &Comparison) -> Value {
    let ours = comparison.series.first();
    json!({
        "title": comparison.title,
        "rounds": comparison.rounds,
        "notes": comparison.notes,
        "series": comparison.series.iter().map(|s| series(ours, s)).collect::<Vec<_>>(),
    })
}

fn series(ours: Option<&Series>, series: &Series) -> Value {
    let (mut medians, mut raw, mut ratios) = (Map::new(), Map::new(), Map::new());
    for (figure, samples) in &series.figures {
        medians.insert(figure.key().to_owned(), json!(samples.median()));
        raw.insert(figure.key().to_owned(), json!(samples.raw()));
        let ours = ours.and_then(|ours| ours.samples(*figure));
        ratios.insert(figure.key().to_owned(), json!(ours.and_then(|ours| ratio(ours, samples))));
    }
    json!({"name": series.name, "median": medians, "ours_divided_by_this": ratios, "samples": raw})
}

/// One line about the machine, for the head of the output.
pub(crate) fn machine_line() -> String {
    let machine = machine();
    let text = |key: &str| machine[key].as_str().unwrap_or("?").to_owned();
    format!(
        "{} × {}, {} MB, Linux {}, load {}",
        machine["processors"],
        text("processor"),
        machine["memory_mb"],
        text("kernel"),
        text("load_average")
    )
}

fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|v| v.split(' ').next()?.parse::<u64>().ok())
        .map(|kb| kb / 1024);
    json!({
        "processor": field(&read("/proc/cpuinfo"), "model name"),
        "processors": std::thread::available_parallelism().map(usize::from).ok(),
        "memory_mb": memory,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average": read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        "cgroup": if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" }
            else if Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists() { "hybrid" } else { "v1" },
    })
}

fn versions() -> Value {
    let mut versions = Map::new();
    let asked = ["runc", "crun", "containerd", "dockerd", "docker", "podman", "conmon", "docker-registry"];
    for program in asked {
        versions.insert(program.to_owned(), json!(version(program)));
    }
    for program in ["runc-rs", "containerd-rs", "engined", "engine"] {
        let path = integration_tests::bin_dir().join(program);
        versions.insert(program.to_owned(), json!(version(path)));
    }
    Value::Object(versions)
}

/// The first line of `PROGRAM --version`.
pub(crate) fn version(program: impl AsRef<std::ffi::OsStr>) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}
