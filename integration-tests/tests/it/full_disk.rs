//! Disks that are full: what is half-made is undone, the daemons live, and all goes on when there is room.

use integration_tests::{CraftedImage, FakeRegistry, Output, SmallDisk, Stack, TarEntry, eventually, tar};

use crate::clients::{CLIS, IMAGE};

/// What Go prints for ENOSPC, and clients look for.
const FULL: &str = "no space left on device";

/// A stack of which one folder is a disk of its own, which is to be dropped later.
fn on_small_disk(folder: &str, megabytes: usize) -> (SmallDisk, Stack) {
    let mut stack = Stack::registry_alone();
    let disk = SmallDisk::mount(&stack.dir().join(folder), megabytes);
    stack.start_again();
    (disk, stack)
}

/// Nothing but the disk itself.
fn nothing_is_left(stack: &Stack) {
    eventually("all is cleared up", || {
        let left = stack.remains(&[]);
        let is_clean = left.iter().all(|left| left.contains("small-disk"));
        if !is_clean {
            eprintln!("still there: {left:#?}");
        }
        is_clean.then_some(())
    });
}

#[track_caller]
fn assert_full(name: &str, output: &Output, code: i32) {
    assert!(output.code == code && output.stderr.contains(FULL), "{name}: {} {}", output.code, output.stderr);
}

/// An image of one layer, which is `size` bytes both packed and unpacked, or next to nothing when packed.
fn large(size: usize, can_be_packed: bool) -> CraftedImage {
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    });
    let data: Vec<u8> = if can_be_packed { vec![b'x'; size] } else { noise.take(size).collect() };
    CraftedImage::new(&[tar(&[TarEntry::directory("etc"), TarEntry::file("etc/large", &data)])])
}

#[test]
fn an_image_that_does_not_fit_leaves_nothing_whether_packed_or_unpacked() {
    let (disk, stack) = on_small_disk("cr", 24);
    let registry = FakeRegistry::start(&stack.netns);
    registry.serve("packed", &large(30 << 20, true));
    registry.serve("noise", &large(30 << 20, false));
    let before = disk.used();
    for image in [registry.name("packed:1"), registry.name("noise:1")] {
        for (name, cli) in CLIS {
            assert_full(name, &cli(&stack, &["pull", &image]), 1);
        }
    }
    nothing_is_left(&stack);
    stack.assert_no_image();
    eventually("no ingest is left", || stack.ingests("engine").is_empty().then_some(()));
    eventually("the room is given back", || (disk.used() < before + (2 << 20)).then_some(()));
    stack.docker(&["pull", "-q", IMAGE]).ok();
    assert_eq!(stack.docker(&["run", "--rm", IMAGE, "echo", "hi"]).ok(), "hi");
    // Debian's ctr fetches itself, and leaves an ingest to go on with for a day.
    let pull = ["images", "pull", "--plain-http", &registry.name("noise:1")];
    assert_full("ctr", &stack.ctr(&pull), 1);
    stack.docker(&["run", "--rm", IMAGE, "true"]);
    stack.ctr(&["version"]).ok();
}

#[test]
fn containers_are_not_made_by_halves_while_containerds_disk_is_full() {
    let (disk, stack) = on_small_disk("cr", 24);
    stack.docker(&["pull", "-q", IMAGE]).ok();
    stack.ctr(&["images", "pull", "-q", "--plain-http", IMAGE]).ok();
    stack.docker(&["run", "-d", "--name", "early", IMAGE, "sleep", "1000"]).ok();
    let ballast = disk.fill();
    let write = "head -c 1000000 /dev/zero > /tmp/x || true";
    // busybox calls it so.
    assert!(stack.docker(&["exec", "early", "sh", "-c", write]).stderr.contains("I/O error"));
    for (name, cli) in CLIS {
        let output = cli(&stack, &["run", "--rm", IMAGE, "sh", "-c", "head -c 1000000 /dev/zero > /tmp/x"]);
        // Either there is no room for the container, or the container has none.
        let words = [FULL, "I/O error"];
        let is_said = words.iter().any(|words| output.stderr.contains(words));
        assert!(output.code != 0 && is_said, "{name}: {output:?}");
    }
    assert_eq!(stack.docker(&["exec", "early", "echo", "alive"]).ok(), "alive");
    drop(ballast);
    for (name, cli) in CLIS {
        assert_eq!(cli(&stack, &["run", "--rm", IMAGE, "echo", "hi"]).ok(), "hi", "{name}");
    }
    stack.docker(&["rm", "-f", "early"]).ok();
    nothing_is_left(&stack);
}

#[test]
fn a_container_goes_on_while_its_log_has_no_room_and_the_log_goes_on_when_it_has() {
    let (disk, stack) = on_small_disk("data", 8);
    let script = "n=0; while :; do n=$((n+1)); echo tick $n; echo $n > /tmp/n; usleep 2000; done";
    stack.docker(&["run", "-d", "--name", "box", IMAGE, "sh", "-c", script]).ok();
    // The file is empty for a moment each time.
    let written = || stack.docker(&["exec", "box", "cat", "/tmp/n"]).stdout.trim().parse::<u64>().ok();
    let count = || eventually("it counts", written);
    let last_logged = || {
        let last = stack.docker(&["logs", "--tail", "1", "box"]).ok();
        last.strip_prefix("tick ").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    eventually("it writes", || (last_logged() > 10).then_some(()));
    let ballast = disk.fill();
    let full_at = eventually("it has filled what was left of the log's last block", || {
        let (logged, written) = (last_logged(), count());
        (written > logged + 100).then_some(written)
    });
    eventually("it goes on without a log", || (count() > full_at + 100).then_some(()));
    drop(ballast);
    let back_at = count();
    eventually("the log goes on", || (last_logged() > back_at).then_some(()));
    let logged = stack.docker(&["logs", "box"]).ok();
    let numbers: Vec<Option<u64>> =
        logged.lines().map(|line| line.strip_prefix("tick ").and_then(|n| n.parse().ok())).collect();
    assert!(numbers.is_sorted_by(|a, b| a.is_some() && a < b), "half a line, or one twice: {logged}");
    assert_eq!(numbers.first(), Some(&Some(1)), "what was there before is there still: {logged}");
    let later: Vec<u64> = numbers.into_iter().flatten().filter(|n| *n > back_at).collect();
    let all: Vec<u64> = (back_at + 1..).take(later.len()).collect();
    assert_eq!(later, all, "lines for which there was room are missing");
    stack.docker(&["rm", "-f", "box"]).ok();
    nothing_is_left(&stack);
}

#[test]
fn engined_with_a_full_disk_says_so_and_makes_nothing_by_halves() {
    let (disk, stack) = on_small_disk("data", 8);
    stack.docker(&["pull", "-q", IMAGE]).ok();
    stack.docker(&["run", "-d", "--name", "early", IMAGE, "sleep", "1000"]).ok();
    let ballast = disk.fill();
    for (name, cli) in CLIS {
        ballast.refill();
        assert_full(name, &cli(&stack, &["run", "--name", "late", IMAGE, "true"]), 125);
        assert_eq!(cli(&stack, &["ps", "-a", "--format", "{{.Names}}"]).ok(), "early", "{name}");
        // A record may fit into what the database's file has free: then the object is there, whole.
        for kind in ["volume", "network"] {
            ballast.refill();
            let made = cli(&stack, &[kind, "create", "late"]);
            let listed = cli(&stack, &[kind, "ls", "-q", "--filter", "name=late"]).ok();
            assert_eq!(made.code == 0, !listed.is_empty(), "{name}: {kind}: {made:?}");
            if made.code == 0 {
                cli(&stack, &[kind, "rm", "late"]).ok();
            } else {
                assert_full(name, &made, 1);
            }
        }
    }
    assert_eq!(stack.docker(&["exec", "early", "echo", "alive"]).ok(), "alive");
    drop(ballast);
    for (name, cli) in CLIS {
        assert_eq!(cli(&stack, &["run", "--rm", "--name", "late", IMAGE, "echo", "hi"]).ok(), "hi", "{name}");
    }
    stack.docker(&["rm", "-f", "early"]).ok();
    nothing_is_left(&stack);
}
