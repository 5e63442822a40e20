//! `system df` and `prune`: what takes space, and what goes.

use integration_tests::{Client, Dockerd, Stack};

/// A container that runs and uses a volume, and one that has ended.
fn fill(docker: &Client, image: &str) -> [String; 2] {
    let script = "head -c 3000000 /dev/zero >/data/f; sleep 1000";
    let running = docker.run(&["run", "-d", "-v", "data:/data", image, "sh", "-c", script]).ok();
    let ended = docker.run(&["run", "--name", "ended", image, "sh", "-c", "head -c 2000000 /dev/zero >/f"]);
    ended.ok();
    integration_tests::eventually("the volume is filled", || {
        let size = docker.run(&["exec", &running, "wc", "-c", "/data/f"]).stdout;
        size.starts_with("3000000 ").then_some(())
    });
    let ended = docker.run(&["inspect", "-f", "{{.Id}}", "ended"]).ok();
    [running, ended]
}

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
const COUNTS: [&str; 4] = ["system", "df", "--format", "{{.Type}}: {{.TotalCount}} {{.Active}}"];

fn counts_and_prunes(docker: &Client, image: &str) {
    let [running, ended] = fill(docker, image);
    let counts = docker.run(&COUNTS).ok();
    assert_eq!(counts, "Images: 1 1\nContainers: 2 1\nLocal Volumes: 1 1\nBuild Cache: 0 0");
    let pruned = docker.run(&["system", "prune", "-af", "--volumes"]).ok();
    assert!(pruned.contains(&format!("Deleted Containers:\n{ended}\n")), "{pruned}");
    assert!(pruned.contains("Total reclaimed space: "), "{pruned}");
    assert_eq!(docker.run(&["ps", "-aq", "--no-trunc"]).ok(), running);
    assert_eq!(docker.run(&["volume", "ls", "-q"]).ok(), "data", "a container uses it");
    docker.run(&["rm", "-f", &running]).ok();
    let pruned = docker.run(&["system", "prune", "-f"]).ok();
    assert_eq!(pruned, "Total reclaimed space: 0B");
    docker.run(&["volume", "rm", "data"]).ok();
}

#[test]
fn what_takes_space_is_counted_and_what_is_unused_goes() {
    let peer = Dockerd::start(None);
    counts_and_prunes(&peer.docker(), Dockerd::IMAGE);
    let stack = Stack::start();
    for client in [stack.docker_client(), stack.engine_client()] {
        stack.docker(&["pull", "-q", IMAGE]).ok();
        counts_and_prunes(&client, IMAGE);
        stack.docker(&["rmi", IMAGE]).ok();
    }
    stack.assert_clean(&[]);
}

#[test]
fn both_clis_show_the_same_table() {
    let stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    fill(&stack.docker_client(), IMAGE);
    let shown = stack.docker(&["system", "df"]).ok();
    assert_eq!(stack.engine(&["system", "df"]).ok(), shown);
    let sizes =
        ["Containers      2         1         2.", "Local Volumes   1         1         3MB       0B (0%)"];
    assert!(sizes.iter().all(|text| shown.contains(text)), "{shown}");
}
