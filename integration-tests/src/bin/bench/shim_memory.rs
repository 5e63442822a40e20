//! What one more idle container costs in memory: our shim, Go's containerd-shim-runc-v2, conmon.
//!
//! Each is measured where its users meet it, with the log it keeps there: below engined, dockerd, podman.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::{Client, Dockerd, Podman};

use crate::comparison::{Comparison, Figure, Series};
use crate::engine_run::{OUR_IMAGE, PODMANS_LIMITS};
use crate::rounds::Rounds;
use crate::stacks::{Docker, Ours, Pod};
use crate::{interrupt, processes};

const COUNTS: [usize; 2] = [10, 100];
/// What starting a container needed is given back by then.
const SETTLE: Duration = Duration::from_secs(5);

struct Keeper<'a> {
    name: &'static str,
    program: &'static str,
    dir: &'a Path,
    client: Client,
    run: Vec<&'a str>,
}

/// Compares the shims.
///
/// # Errors
/// A container can't be started, or the bench is interrupted.
pub(crate) fn compare(rounds: Rounds) -> Result<Vec<Comparison>> {
    let (ours, docker, podman) = (Ours::start("ours")?, Docker::start()?, Pod::start()?);
    ours.stack.docker(&["pull", "-q", OUR_IMAGE]).ok();
    let sleep = ["sleep", "1000000"];
    let run = ["run", "-d", "--network", "none"];
    let keepers = [
        Keeper {
            name: "containerd-shim-runcrs-v2",
            program: "containerd-shim-runcrs-v2",
            dir: ours.stack.dir(),
            client: ours.stack.engine_client(),
            run: [&run[..], &[OUR_IMAGE], &sleep].concat(),
        },
        Keeper {
            name: "containerd-shim-runc-v2 1.6",
            program: "containerd-shim-runc-v2",
            dir: docker.dockerd.dir(),
            client: docker.dockerd.docker(),
            run: [&run[..], &[Dockerd::IMAGE], &sleep].concat(),
        },
        Keeper {
            name: "conmon 2.1",
            program: "conmon",
            dir: podman.podman.dir(),
            client: podman.podman.client().clone(),
            run: [&run[..], PODMANS_LIMITS, &[Podman::IMAGE], &sleep].concat(),
        },
    ];
    let mut comparisons = Vec::new();
    let mut running = 0;
    for count in rounds.counts(&COUNTS) {
        for keeper in &keepers {
            for _ in running..count {
                interrupt::check()?;
                let output = keeper.client.run(&keeper.run);
                ensure!(output.code == 0, "{}: {}", keeper.name, output.stderr);
            }
        }
        running = count;
        std::thread::sleep(SETTLE);
        let series = keepers.iter().map(|keeper| measure(keeper, count)).collect::<Result<_>>()?;
        comparisons.push(Comparison {
            title: format!("memory of the process that stays with a container, {count} idle containers of each"),
            rounds: count,
            notes: vec![
                "private: pages nobody shares, what one container more costs; dirty: the written part of them"
                    .to_owned(),
                "below engined, dockerd and podman, 5 s after the last start; one sample per process".to_owned(),
            ],
            series,
        });
    }
    Ok(comparisons)
}

fn measure(keeper: &Keeper<'_>, count: usize) -> Result<Series> {
    let mut series = Series::new(keeper.name);
    let found: Vec<_> = processes::naming(keeper.dir)
        .into_iter()
        .filter(|process| process.program == keeper.program)
        .collect();
    ensure!(found.len() == count, "{}: {} of {count} processes are there", keeper.name, found.len());
    for process in found {
        let memory = process.memory().with_context(|| format!("measure {}", keeper.name))?;
        series.push(Figure::Private, memory.private);
        series.push(Figure::Dirty, memory.dirty);
        series.push(Figure::Proportional, memory.proportional);
    }
    Ok(series)
}
