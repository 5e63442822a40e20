//! `engine run --rm` against `docker run --rm` and `podman run --rm`: busybox `true`, network included.

use anyhow::Result;
use integration_tests::{Dockerd, Podman};

use crate::comparison::{Comparison, Contender, take_turns};
use crate::rounds::Rounds;
use crate::stacks::{Docker, Measured, Ours, Pod};

/// The image in our stack's registry.
pub(crate) const OUR_IMAGE: &str = "127.0.0.1:5000/busybox:1";

/// podman's usual limits need CAP_SYS_RESOURCE, which containers and CI machines lack.
pub(crate) const PODMANS_LIMITS: &[&str] = &["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];

/// Compares the engines.
///
/// # Errors
/// One of them fails, or the bench is interrupted.
pub(crate) fn compare(rounds: Rounds) -> Result<Vec<Comparison>> {
    // A stack for each client: the CPU time of work after the answer goes to the right one.
    let (ours, ours_too) = (Ours::start("engine")?, Ours::start("cli")?);
    let (docker, podman) = (Docker::start()?, Pod::start()?);
    ours.stack.docker(&["pull", "-q", OUR_IMAGE]).ok();
    ours_too.stack.docker(&["pull", "-q", OUR_IMAGE]).ok();
    let notes = vec![
        "CPU: of the client, the daemons, the shims and the runtimes together, work after the answer included"
            .to_owned(),
        format!("podman runs {}{}", podman.runtime, if podman.runtime.ends_with("runc") { ": crun refuses a hybrid host" } else { "" }),
    ];
    let mut comparisons = Vec::new();
    for (network, options) in [("bridge network", &[][..]), ("no network", &["--network", "none"][..])] {
        let run =
            |image: &'static str| -> Vec<&str> { [&["run", "--rm"][..], options, &[image, "true"]].concat() };
        let mut engine = Measured::new(ours.stack.engine_client(), &ours.account)?;
        let mut cli = Measured::new(ours_too.stack.docker_client(), &ours_too.account)?;
        let mut original = Measured::new(docker.dockerd.docker(), &docker.account)?;
        let mut pod = Measured::new(podman.podman.client().clone(), &podman.account)?;
        let contenders = vec![
            Contender::new("engine", || engine.sample(&run(OUR_IMAGE))),
            Contender::new("docker CLI on engined", || cli.sample(&run(OUR_IMAGE))),
            Contender::new("docker on dockerd 20.10", || original.sample(&run(Dockerd::IMAGE))),
            Contender::new("podman 4.3", || {
                pod.sample(&[&run(Podman::IMAGE)[..2], PODMANS_LIMITS, &run(Podman::IMAGE)[2..]].concat())
            }),
        ];
        let title = format!("run --rm busybox true, {network}");
        comparisons.push(take_turns(title, notes.clone(), rounds.fast(30), contenders)?);
    }
    Ok(comparisons)
}
