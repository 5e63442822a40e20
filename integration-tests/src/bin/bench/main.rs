//! `make bench`: this stack beside the originals from Debian's packages, measured in one run.
//!
//! `ONLY=PART[,PART]` measures parts, `SAMPLES=N` sets shorter counts. Tables go to the terminal, raw
//! samples to `target/bench/PART.json`. Nothing is asserted about time; a command that fails ends the
//! bench with its output.

mod accounting;
mod bundle;
mod comparison;
mod engine_run;
mod interrupt;
mod measure;
mod processes;
mod pull;
mod pull_image;
mod report;
mod rounds;
mod runtime;
mod shim_memory;
mod stacks;
mod statistics;
mod table;
mod view;

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::comparison::Comparison;
use crate::rounds::Rounds;

type Compare = fn(Rounds) -> Result<Vec<Comparison>>;

const PARTS: &[(&str, Compare)] = &[
    ("runtime", runtime::compare),
    ("engine", engine_run::compare),
    ("shim", shim_memory::compare),
    ("pull", pull::compare),
];

fn main() -> Result<ExitCode> {
    if let Some(code) = interrupt::shield()? {
        return Ok(code);
    }
    let rounds = Rounds::from_environment()?;
    println!("{}", report::machine_line());
    println!("Contenders take turns in one run; figures are medians (10th–90th percentile).");
    for (part, compare) in chosen()? {
        let comparisons = compare(rounds)?;
        for comparison in &comparisons {
            print!("{}", table::render(comparison));
        }
        println!(
            "\n{}  every sample: {}",
            table::notes(&comparisons),
            report::write(part, &comparisons)?.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen() -> Result<Vec<&'static (&'static str, Compare)>> {
    let only = std::env::var("ONLY").unwrap_or_default();
    let names: Vec<&str> = only.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
    for name in &names {
        ensure!(known.contains(name), "ONLY={name}: the parts are {}", known.join(", "));
    }
    Ok(PARTS.iter().filter(|(part, _)| names.is_empty() || names.contains(part)).collect())
}
