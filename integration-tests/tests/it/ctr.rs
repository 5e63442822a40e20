//! Debian's `ctr` says the same on containerd-rs as on Debian's containerd, with our shim as with Go's.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use integration_tests::{Client, Containerd, Stack, eventually, namespace};

use crate::transcript::Transcript;

const IMAGE: &str = "127.0.0.1:5000/busybox:1";
const GOS: &str = "io.containerd.runc.v2";
const OURS: &str = "io.containerd.runcrs.v2";

/// Namespaces, images, content, snapshots, leases.
fn stored_things(ctr: &Client, archive: &Path, dir: &Path) -> Transcript {
    let archive = archive.to_str().expect("UTF-8");
    let exported = dir.join("exported.tar").display().to_string();
    let mut t = Transcript::of(ctr);
    t.hide(&namespace(dir), "NAMESPACE");
    for words in [
        "ns create n1 a=b",
        "ns create n1",
        "ns ls",
        "ns label n1 c=d",
        "ns ls",
        "ns create -bad-",
        "ns rm n1",
        "ns rm nosuch",
        "ns ls -q",
    ] {
        t.run(&words.split(' ').collect::<Vec<_>>());
    }
    t.run(&["images", "import", archive]);
    for words in [
        "images ls",
        "images tag IMAGE other:1",
        "images tag IMAGE other:1",
        "images tag nosuch:1 other:2",
        "images label IMAGE k=v",
        "images ls -q labels.k==v",
        "images check -q",
        "containers ls id=x",
        "content active",
        "content get nosuch",
        "snapshots ls",
        "snapshots tree",
        "snapshots usage",
        "snapshots info nosuch",
        "images rm nosuch:1",
        "leases create --id l1 a=b",
        "leases create --id l1",
        "leases ls -q",
        "leases rm l1",
        "leases ls -q",
    ] {
        t.run(&words.split(' ').map(|w| if w == "IMAGE" { IMAGE } else { w }).collect::<Vec<_>>());
    }
    // Its progress is another at every run.
    ctr.run(&["content", "fetch", "--plain-http", IMAGE]).ok();
    t.run_sorted(&["content", "ls", "-q"]);
    t.run(&["images", "export", exported.as_str(), IMAGE]);
    t.run(&["images", "rm", "--sync", "other:1", IMAGE]);
    for what in [["content", "ls", "-q"], ["snapshots", "ls", ""], ["images", "ls", "-q"]] {
        t.run(&what.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>());
    }
    t.run(&["images", "import", exported.as_str()]);
    t.run(&["images", "ls"]);
    t.run(&["images", "rm", "--sync", IMAGE]);
    for name in ["127.0.0.1:5000/nosuch:1", "127.0.0.1:1/busybox:1", IMAGE] {
        t.run_for_errors(&["images", "pull", "--plain-http", name]);
    }
    t.run(&["images", "ls"]);
    t.run(&["snapshots", "ls"]);
    t
}

/// Containers and tasks under one shim; the image is there.
fn tasks(ctr: &Client, dir: &Path, shim: &str) -> Transcript {
    let mut t = Transcript::of(ctr);
    t.hide(&namespace(dir), "NAMESPACE");
    t.hide(shim, "SHIM");
    let run = ["run", "--runtime", shim];
    t.run(&[&run[..], &["--rm", IMAGE, "c1", "sh", "-c", "echo hi; exit 7"]].concat());
    let options = ["--env", "A=b", "--cwd", "/tmp", "--read-only"];
    let script = "echo $A $PWD; touch /x";
    t.run(
        &[&run[..], &options, &["--memory-limit", "67108864", "--rm", IMAGE, "c1", "sh", "-c", script]]
            .concat(),
    );
    t.run(&[&run[..], &["--rm", IMAGE, "c1", "nosuchcmd"]].concat());
    t.run(&[&run[..], &["--rm", IMAGE, "c1", "/etc"]].concat());
    t.run(&[&run[..], &["--rm", "nosuch:1", "c1", "true"]].concat());
    // Two processes at every moment, for `ps`.
    let script = "trap 'exit 4' TERM; sleep 1000 & wait";
    t.run(&[&run[..], &["-d", "--label", "l=m", IMAGE, "c1", "sh", "-c", script]].concat());
    t.run(&[&run[..], &["-d", IMAGE, "c1", "sleep", "1"]].concat());
    for words in [
        "containers ls",
        "containers info --spec c1",
        "containers label c1 a=b",
        "containers ls -q labels.a==b",
        "snapshots ls",
        "task ls",
        "task ps c1",
        "task exec --exec-id e1 c1 true",
        "task exec --exec-id e1 c1 nosuchcmd",
        "task exec --exec-id e1 --cwd /tmp c1 pwd",
        "task exec --exec-id e1 --user 1000 c1 id -u",
        "task exec --exec-id e1 nosuch true",
        "task exec --exec-id -bad- c1 true",
        "task pause c1",
        "task pause c1",
        "task ls",
        "task exec --exec-id e1 c1 true",
        "task resume c1",
        "task resume c1",
        "task start c1",
        "task rm c1",
        "containers rm c1",
    ] {
        t.run(&words.split(' ').collect::<Vec<_>>());
    }
    t.run(&["task", "exec", "--exec-id", "e1", "c1", "sh", "-c", "echo in; echo e >&2; exit 3"]);
    let metrics = ctr.run(&["task", "metrics", "c1"]).ok();
    for name in ["memory.usage_in_bytes", "cpuacct.usage", "pids.current"] {
        assert!(metrics.contains(name), "{shim}: {metrics}");
    }
    t.run(&["task", "kill", "c1"]);
    eventually("the task stops", || ctr.run(&["task", "ls"]).ok().contains("STOPPED").then_some(()));
    for words in [
        "task kill c1",
        "task exec --exec-id e1 c1 true",
        "task rm c1",
        "task rm c1",
        "task kill c1",
        "containers rm c1",
        "containers rm c1",
        "containers info c1",
    ] {
        t.run(&words.split(' ').collect::<Vec<_>>());
    }
    t.run(&["containers", "create", "--runtime", shim, IMAGE, "c2", "sleep", "1000"]);
    t.run(&["task", "ls"]);
    t.run(&["task", "start", "-d", "c2"]);
    t.run(&["task", "rm", "-f", "c2"]);
    t.run(&["containers", "rm", "c2"]);
    // What ctr itself says on a terminal depends on who is faster.
    let script = "tty; exit 5";
    let output =
        ctr.run_in_terminal(&["run", "-t", "--rm", "--runtime", shim, IMAGE, "c3", "sh", "-c", script]);
    assert_eq!(output.code, 5, "{shim}: {}", output.stdout);
    assert!(output.stdout.contains("/dev/pts/0"), "{shim}: {}", output.stdout);
    t.run(&[&run[..], &["-d", IMAGE, "c4", "sleep", "1000"]].concat());
    let output = ctr.run_in_terminal(&["task", "exec", "-t", "--exec-id", "e1", "c4", "sh", "-c", script]);
    assert_eq!(output.code, 5, "{shim}: {}", output.stdout);
    assert!(output.stdout.contains("/dev/pts/0"), "{shim}: {}", output.stdout);
    t.run(&["task", "rm", "-f", "c4"]);
    t.run(&["containers", "rm", "c4"]);
    t.run(&["snapshots", "ls"]);
    t
}

/// Topics and payloads of a container's life, as `ctr events` shows them.
fn events(ctr: &Client, shim: &str) -> Vec<String> {
    let mut listener = ctr.start(&["events"]);
    let mut lines = BufReader::new(listener.stdout.take().expect("piped")).lines();
    // Only what comes after the subscription is delivered: a first event shows that it stands.
    let mut first = 0;
    let (sender, receiver) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    eventually("events are listened for", || {
        first += 1;
        ctr.run(&["ns", "create", &format!("probe{first}")]).ok();
        receiver.try_recv().ok()
    });
    ctr.run(&["run", "-d", "--runtime", shim, IMAGE, "ev", "sleep", "1000"]).ok();
    ctr.run(&["task", "exec", "--exec-id", "e1", "ev", "sh", "-c", "exit 3"]);
    ctr.run(&["task", "pause", "ev"]).ok();
    ctr.run(&["task", "resume", "ev"]).ok();
    ctr.run(&["task", "kill", "-s", "SIGKILL", "ev"]).ok();
    eventually("the task stops", || ctr.run(&["task", "ls"]).ok().contains("STOPPED").then_some(()));
    ctr.run(&["task", "rm", "ev"]);
    ctr.run(&["containers", "rm", "ev"]).ok();
    for number in 1..=first {
        ctr.run(&["ns", "rm", &format!("probe{number}")]).ok();
    }
    let mut seen = Vec::new();
    eventually("the container's removal is told", || {
        seen.extend(receiver.try_iter());
        seen.iter().any(|line: &String| line.contains("/containers/delete")).then_some(())
    });
    listener.kill().expect("end ctr events");
    listener.wait().expect("wait for ctr events");
    reader.join().expect("the reader of events");
    let told = seen.iter().filter(|line| line.contains(" /tasks/") || line.contains(" /containers/"));
    told.map(|line| {
        let from = line.find(" /").unwrap_or_else(|| panic!("an event of another shape: {line}"));
        line[from..].to_owned()
    })
    .collect()
}

/// What of an event's payload is the same in every run.
fn outline(event: &str) -> String {
    let topic = event.split_whitespace().next().expect("a topic");
    let payload = event.find('{').map_or("{}", |at| &event[at..]);
    let payload: serde_json::Value = serde_json::from_str(payload).unwrap_or_else(|e| panic!("{event}: {e}"));
    let field = |name: &str| payload.get(name).map(|value| format!(" {name}={value}")).unwrap_or_default();
    let fields = ["container_id", "id", "exec_id", "exit_status"].map(field).concat();
    format!("{topic}{fields}")
}

#[test]
fn stored_things_look_the_same_as_on_debians_containerd() {
    let peer = Containerd::start();
    let theirs = stored_things(&peer.ctr(), &peer.image.archive, peer.dir());
    let stack = Stack::without_engine();
    let ours = stored_things(&stack.ctr_client(), &stack.image.archive, stack.dir());
    ours.assert_same(&theirs);
    // The daemons' own parts differ; what a client looks for is there.
    let parts = |ctr: &Client| -> BTreeSet<String> {
        let listing = ctr.run(&["plugins", "ls"]).ok();
        let ok = listing.lines().filter(|line| line.trim_end().ends_with("ok"));
        ok.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    let (ours, theirs) = (parts(&stack.ctr_client()), parts(&peer.ctr()));
    let faces = ["io.containerd.grpc.v1 ", "io.containerd.snapshotter.v1 ", "io.containerd.content.v1 "];
    let wanted = theirs.iter().filter(|part| faces.iter().any(|face| part.starts_with(face)));
    let missing: Vec<_> = wanted.filter(|part| !ours.contains(*part)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    let version = stack.ctr(&["version"]).ok();
    assert!(version.contains("Server:") && version.contains("UUID:"), "{version}");
}

#[test]
fn tasks_look_the_same_under_every_daemon_and_shim() {
    let peer = Containerd::start();
    peer.import();
    let reference = tasks(&peer.ctr(), peer.dir(), GOS);
    tasks(&peer.ctr(), peer.dir(), OURS).assert_same(&reference);
    let stack = Stack::without_engine();
    stack.ctr(&["images", "pull", "-q", "--plain-http", IMAGE]).ok();
    for shim in [GOS, OURS] {
        tasks(&stack.ctr_client(), stack.dir(), shim).assert_same(&reference);
    }
}

#[test]
fn events_come_in_the_same_order_under_every_daemon_and_shim() {
    let peer = Containerd::start();
    peer.import();
    let outlines = |ctr: &Client, shim| events(ctr, shim).iter().map(|e| outline(e)).collect::<Vec<_>>();
    let reference = outlines(&peer.ctr(), GOS);
    assert!(reference.iter().any(|e| e.starts_with("/tasks/exit")), "{reference:#?}");
    assert_eq!(outlines(&peer.ctr(), OURS), reference, "our shim under Debian's containerd");
    let stack = Stack::without_engine();
    stack.ctr(&["images", "pull", "-q", "--plain-http", IMAGE]).ok();
    for shim in [GOS, OURS] {
        assert_eq!(outlines(&stack.ctr_client(), shim), reference, "{shim} under containerd-rs");
    }
}
