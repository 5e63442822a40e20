//! Pulling an image of several layers from a registry on loopback, cold each time.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration_tests::{Client, Registry, eventually};

use crate::comparison::{Comparison, Contender, Cost, take_turns};
use crate::pull_image::{self, NAME, PORT};
use crate::rounds::Rounds;
use crate::stacks::{DebiansContainerd, Docker, Measured, Ours};

/// Compares the pulls.
///
/// # Errors
/// One of them fails, or the bench is interrupted.
pub(crate) fn compare(rounds: Rounds) -> Result<Vec<Comparison>> {
    let image = pull_image::get()?;
    let (engine, ours) = (Ours::start("engine")?, Ours::start("ctr")?);
    let (containerd, docker) = (DebiansContainerd::start()?, Docker::start()?);
    // Each network namespace has a loopback of its own; all four registries serve the same files.
    let netnses =
        [&engine.stack.netns, &ours.stack.netns, containerd.containerd.netns(), docker.dockerd.netns()];
    let _registries: Vec<Registry> =
        netnses.into_iter().map(|netns| Registry::start_on(netns, &image.data, PORT)).collect();
    warm(&image.data)?;
    let ctr = |client: Client| Puller {
        client,
        pull: &["images", "pull", "--plain-http", NAME],
        remove: &["images", "rm", "--sync", NAME],
        left: &[&["content", "ls", "-q"], &["snapshots", "ls"]],
    };
    let docker_like = |client: Client, store: Option<Client>| {
        let puller = Puller { client, pull: &["pull", NAME], remove: &["rmi", NAME], left: &[] };
        (puller, store)
    };
    let mut pulls = vec![
        (
            "engine pull",
            docker_like(engine.stack.engine_client(), Some(engine.stack.ctr_client())),
            &engine.account,
        ),
        ("ctr on containerd-rs", (ctr(ours.stack.ctr_client()), None), &ours.account),
        ("ctr on containerd 1.6", (ctr(containerd.containerd.ctr()), None), &containerd.account),
        ("docker pull on dockerd 20.10", docker_like(docker.dockerd.docker(), None), &docker.account),
    ];
    let mut contenders = Vec::new();
    for (name, (puller, store), account) in pulls.drain(..) {
        let mut measured = Measured::new(puller.client.clone(), account)?;
        contenders.push(Contender::new(name, move || {
            let cost = puller.sample(&mut measured)?;
            if let Some(store) = &store {
                wait_until_gone(store, &["-n", "engine"], &[&["content", "ls", "-q"], &["snapshots", "ls"]]);
            }
            Ok(cost)
        }));
    }
    let notes = vec![
        "cold store, warm page cache: the image, its content and its snapshots are removed before each pull, \
         but the registry reads its files from memory"
            .to_owned(),
        "CPU: of the client and its daemon together; ctr 1.6 fetches itself and lets the daemon unpack".to_owned(),
    ];
    let size =
        format!("{} MB compressed, {} MB unpacked", image.compressed / 1_000_000, image.unpacked / 1_000_000);
    let title = format!("pull of {} layers from loopback, {size}", pull_image::LAYERS);
    Ok(vec![take_turns(title, notes, rounds.slow(5), contenders)?])
}

/// One way to pull.
struct Puller {
    client: Client,
    pull: &'static [&'static str],
    remove: &'static [&'static str],
    /// Commands of the same client that print nothing once the store is empty (but for a heading).
    left: &'static [&'static [&'static str]],
}

impl Puller {
    fn sample(&self, measured: &mut Measured<'_>) -> Result<Cost> {
        // What earlier samples left to be written shall not slow this one.
        let status = Command::new("sync").status().context("run sync")?;
        ensure!(status.success(), "sync: {status}");
        measured.forget()?;
        let cost = measured.sample(self.pull)?;
        measured.aside(self.remove)?;
        wait_until_gone(&self.client, &[], self.left);
        Ok(cost)
    }
}

/// A collector that works behind the answer must have finished before the next pull.
fn wait_until_gone(client: &Client, first: &[&str], commands: &[&[&str]]) {
    for command in commands {
        eventually("the store is empty", || {
            let output = client.run(&[first, command].concat());
            let lines = output.stdout.lines().filter(|line| !line.starts_with("KEY")).count();
            (output.code == 0 && lines == 0).then_some(())
        });
    }
}

/// Reads the registry's files once.
fn warm(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            warm(&path)?;
        } else {
            let mut file = std::fs::File::open(&path).with_context(|| format!("open {}", path.display()))?;
            std::io::copy(&mut file, &mut std::io::sink())?;
        }
    }
    Ok(())
}
