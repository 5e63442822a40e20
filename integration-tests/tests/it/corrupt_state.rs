//! State on disk that is damaged or gone: the daemons start, live containers go on and are known, nothing else is
//! lost with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd_client::Client;
use integration_tests::{Stack, eventually};

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
const SHIMS: [&str; 2] = ["io.containerd.runcrs.v2", "io.containerd.runc.v2"];
const METADATA: &str = "cr/io.containerd.metadata.v1.redb/meta.db";
const SERVE: [&str; 4] = ["httpd", "-f", "-h", "/www"];

/// A name and a deed.
type Damage = (&'static str, fn(&Path));

/// What can happen to a file.
const DAMAGES: [Damage; 5] = [
    ("missing", |path| std::fs::remove_file(path).expect("remove")),
    ("empty", |path| std::fs::write(path, "").expect("empty")),
    ("torn", |path| change(path, |bytes| bytes.truncate(bytes.len() / 2))),
    ("without its head", |path| change(path, |bytes| bytes[..4096].fill(0xff))),
    ("without its body", |path| change(path, |bytes| bytes[4096..].fill(0))),
];

fn change(path: &Path, how: impl Fn(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("read");
    how(&mut bytes);
    std::fs::write(path, bytes).expect("write");
}

fn pid(stack: &Stack, name: &str) -> String {
    stack.docker(&["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", name]).ok()
}

/// A container of each shim, the first with a port and a network of its own, and one that has ended.
fn populate(stack: &Stack) {
    stack.docker(&["pull", "-q", IMAGE]).ok();
    stack.docker(&["network", "create", "mine"]).ok();
    let first = ["run", "-d", "--name", "first", "--network", "mine", "-p", "18080:80", IMAGE];
    stack.docker(&[&first[..], &SERVE].concat()).ok();
    stack.docker(&["run", "-d", "--name", "second", "--runtime", SHIMS[1], IMAGE, "sleep", "1000"]).ok();
    assert_eq!(stack.docker(&["run", "--name", "ended", IMAGE, "sh", "-c", "exit 7"]).code, 7);
}

/// The containers are who they were, work, and go without a trace.
fn lives_on(stack: &Stack, before: &[String; 2], case: &str) {
    for (name, before) in ["first", "second"].iter().zip(before) {
        assert_eq!(pid(stack, name), *before, "{case}");
        assert_eq!(stack.docker(&["exec", name, "echo", "alive"]).ok(), "alive", "{case}");
    }
    assert_eq!(
        stack.shell("curl -s --max-time 10 http://127.0.0.1:18080/").ok(),
        "hello from inside",
        "{case}"
    );
    let ended = stack.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ended"]).ok();
    assert_eq!(ended, "exited 7", "{case}");
    assert!(stack.docker(&["network", "inspect", "mine"]).ok().contains("first"), "{case}");
}

fn removed(stack: &Stack) {
    stack.docker(&["stop", "-t", "0", "second"]).ok();
    stack.docker(&["rm", "-f", "first", "second", "ended"]).ok();
    stack.docker(&["network", "rm", "mine"]).ok();
    stack.assert_clean(&[]);
}

/// Both daemons are killed, the file is damaged, both come back.
fn survives_the_loss_of(file: &str) {
    let mut stack = Stack::start();
    for (what, damage) in DAMAGES {
        let case = format!("{file} is {what}");
        populate(&stack);
        let before = ["first", "second"].map(|name| pid(&stack, name));
        stack.kill_9();
        damage(&stack.dir().join(file));
        stack.start_again();
        lives_on(&stack, &before, &case);
        // What was lost and mended is so for good.
        stack.kill_9();
        stack.start_again();
        lives_on(&stack, &before, &case);
        removed(&stack);
    }
}

#[test]
fn containers_outlive_the_loss_of_containerds_metadata() {
    survives_the_loss_of(METADATA);
}

#[test]
fn containers_outlive_the_loss_of_the_engines_records() {
    survives_the_loss_of("data/engine.redb");
}

#[test]
fn containers_outlive_the_loss_of_the_networks_records() {
    survives_the_loss_of("data/networks.redb");
}

/// What can happen to a bundle; a live container's shim is found all the same.
const BUNDLES: [Damage; 7] = [
    ("no spec", |bundle| std::fs::remove_file(bundle.join("config.json")).expect("remove")),
    ("no address", |bundle| std::fs::remove_file(bundle.join("address")).expect("remove")),
    ("no bootstrap", |bundle| std::fs::remove_file(bundle.join("bootstrap.json")).expect("remove")),
    ("torn bootstrap", |bundle| std::fs::write(bundle.join("bootstrap.json"), "{\"vers").expect("write")),
    ("no binary", |bundle| std::fs::remove_file(bundle.join("shim-binary-path")).expect("remove")),
    ("torn exits", |bundle| std::fs::write(bundle.join("exits"), "12 0 ab\n3").expect("write")),
    ("torn journal", |bundle| std::fs::write(bundle.join("events"), [0, 0, 9, 9, 1]).expect("write")),
];

#[test]
fn a_container_outlives_damage_to_its_bundle_and_strange_bundles_hurt_nobody() {
    let mut stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let mut containers = Vec::new();
    for shim in SHIMS {
        for (what, damage) in BUNDLES {
            let id = stack.docker(&["run", "-d", "--runtime", shim, IMAGE, "sleep", "1000"]).ok();
            containers.push((format!("{shim}: {what}"), id.clone(), pid(&stack, &id), damage));
        }
    }
    stack.kill_9();
    let bundles: PathBuf = stack.dir().join("cs/io.containerd.runtime.v2.task/engine");
    for (_, id, _, damage) in &containers {
        damage(&bundles.join(id));
    }
    for name in ["empty", "half"] {
        std::fs::create_dir(bundles.join(name)).expect("make a bundle");
    }
    std::fs::write(bundles.join("half/config.json"), "{").expect("write");
    stack.start_again();
    for (case, id, before, _) in &containers {
        assert_eq!(pid(&stack, id), *before, "{case}");
        assert_eq!(stack.docker(&["exec", id, "echo", "alive"]).ok(), "alive", "{case}");
    }
    for (case, id, ..) in &containers {
        let removed = stack.docker(&["rm", "-f", id]);
        assert_eq!(removed.code, 0, "{case}: {}", removed.stderr);
    }
    stack.assert_clean(&[]);
}

#[test]
fn a_container_that_containerd_has_forgotten_is_no_exit_and_is_made_known_again() {
    let mut stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    for shim in SHIMS {
        let id =
            stack.docker(&["run", "-d", "--name", "box", "--runtime", shim, IMAGE, "sleep", "1000"]).ok();
        let before = pid(&stack, "box");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let client = Client::new(&stack.containerd_socket(), "engine", Duration::from_secs(10));
            client.expect("client").delete_container(&id).await.expect("forget the container");
        });
        stack.restart_engined();
        assert_eq!(pid(&stack, "box"), before, "{shim}");
        assert_eq!(stack.docker(&["exec", "box", "echo", "alive"]).ok(), "alive", "{shim}");
        stack.docker(&["rm", "-f", "box"]).ok();
        stack.assert_clean(&[]);
    }
}

#[test]
fn a_torn_exit_record_is_an_end_all_the_same() {
    let mut stack = Stack::start();
    stack.docker(&["pull", "-q", IMAGE]).ok();
    let id = stack.docker(&["run", "-d", "--name", "box", IMAGE, "sleep", "1"]).ok();
    let record = stack.dir().join("cs/io.containerd.runtime.v2.task/engine").join(&id).join("exit.json");
    stack.kill_9();
    eventually("the exit is written down", || record.exists().then_some(()));
    std::fs::write(&record, "{\"pid\":").expect("tear");
    stack.start_again();
    let state = ["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box"];
    eventually("the shim tells it", || (stack.docker(&state).ok() == "exited 0").then_some(()));
    stack.docker(&["rm", "box"]).ok();
    stack.assert_clean(&[]);
}

/// Damage to the blobs of an image that was fetched and not unpacked, as a crash of the machine may leave it.
#[test]
fn a_damaged_blob_is_not_unpacked_and_the_next_pull_mends_it() {
    let stack = Stack::start();
    let damages: [Damage; 4] = [
        ("missing", |path| std::fs::remove_file(path).expect("remove")),
        ("empty", |path| change(path, Vec::clear)),
        ("torn", |path| change(path, |bytes| bytes.truncate(bytes.len() / 2))),
        ("scribbled", |path| {
            change(path, |bytes| bytes.iter_mut().rev().take(9).for_each(|byte| *byte ^= 0x55))
        }),
    ];
    for (what, damage) in damages {
        stack.ctr(&["-n", "engine", "content", "fetch", "--plain-http", IMAGE]).ok();
        let blobs = stack.dir().join("cr/io.containerd.content.v1.content/blobs/sha256");
        for blob in std::fs::read_dir(&blobs).expect("blobs").flatten() {
            damage(&blob.path());
        }
        let unpacked = stack.ctr(&["-n", "engine", "run", "--rm", IMAGE, "c1", "true"]);
        assert_ne!(unpacked.code, 0, "{what}: run from damaged blobs");
        stack.docker(&["pull", "-q", IMAGE]).ok();
        assert_eq!(stack.docker(&["run", "--rm", IMAGE, "echo", "mended"]).ok(), "mended", "{what}");
        stack.docker(&["rmi", IMAGE]).ok();
        stack.assert_clean(&[]);
    }
}
