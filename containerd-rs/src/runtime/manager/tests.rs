//! Real shims (Go's, from Debian) and Debian's runc on a busybox root; needs root.

use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicU32;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::containerd::events::TaskExit;
use proto::containerd::v1::types::Status;
use serde_json::json;
use tokio::net::UnixListener;

use super::*;
use crate::events::{Exchange, Subscription};
use crate::services::events_ttrpc;

const RUNTIME: &str = "io.containerd.runc.v2";
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Directories of one test, whose daemons come and go.
struct Home {
    dir: tempfile::TempDir,
    namespace: String,
}

/// One life of a daemon; dropping it is as sudden as kill -9 for its connections.
struct Life {
    manager: Manager,
    events: Subscription,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.server.abort();
        for (_, entry) in self.manager.inner.tasks().drain() {
            if let Entry::Ready(task) = entry {
                task.leaving.store(true, Ordering::Release);
                task.shim.close();
            }
        }
    }
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let bin = dir.path().join("fs/bin");
        std::fs::create_dir_all(&bin).expect("root");
        for name in ["proc", "dev", "sys"] {
            std::fs::create_dir_all(dir.path().join("fs").join(name)).expect("root");
        }
        std::fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
        symlink("busybox", bin.join("sh")).expect("link");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { dir, namespace: format!("task-tests-{}-{number}", std::process::id()) }
    }

    fn begin(&self) -> Life {
        let (root, state) = (self.dir.path().join("root"), self.dir.path().join("state"));
        std::fs::create_dir_all(&state).expect("state");
        let layout = Layout::new(&root, &state);
        let exchange = Exchange::default();
        let exits = Arc::new(Exits::new(exchange.clone(), layout.clone()));
        let ttrpc_address = state.join("c.sock.ttrpc");
        let _ = std::fs::remove_file(&ttrpc_address);
        let listener = UnixListener::bind(&ttrpc_address).expect("listen");
        let server = tokio::spawn(events_ttrpc::serve(listener, exits.clone()));
        let launcher = Launcher {
            address: state.join("c.sock"),
            ttrpc_address,
            daemon: "/bin/true".into(),
            debug: false,
        };
        let events = exchange.subscribe();
        Life { manager: Manager::new(layout, launcher, exits), events, server }
    }

    fn create(&self, id: &str, script: &str) -> Create {
        let args = ["/bin/sh", "-c", script];
        let spec = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"cwd": "/", "args": args, "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {
                "cgroupsPath": format!("/{}/{id}", self.namespace),
                "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
            },
        });
        Create {
            namespace: self.namespace.clone(),
            id: id.to_owned(),
            runtime: RUNTIME.to_owned(),
            spec: spec.to_string().into_bytes(),
            runtime_options: Some(typeurl::pack(&Options {
                root: self.dir.path().join("runc").display().to_string(),
                ..Options::default()
            })),
            rootfs: vec![Mount {
                r#type: "bind".into(),
                source: self.dir.path().join("fs").display().to_string(),
                target: String::new(),
                options: vec!["rbind".into(), "rw".into()],
            }],
            ..Create::default()
        }
    }

    /// Makes and starts a task.
    async fn run(&self, life: &Life, id: &str, script: &str) -> Arc<Task> {
        life.manager.create(self.create(id, script)).await.expect("create");
        let task = life.manager.get(&self.namespace, id).await.expect("get");
        task.start("").await.expect("start");
        task
    }

    async fn recovered(&self) -> Life {
        let life = self.begin();
        let found = life.manager.find().expect("find");
        tokio::spawn(found.recover(|_, _| None));
        life
    }

    async fn end(&self, life: &Life, id: &str) -> Exit {
        let task = life.manager.get(&self.namespace, id).await.expect("get");
        let _ = task.kill("", 9, true).await;
        task.wait("").await.expect("wait");
        life.manager.delete(&self.namespace, id).await.expect("delete")
    }

    fn assert_empty(&self) {
        for half in ["root", "state"] {
            let left = self.dir.path().join(half).join("io.containerd.runtime.v2.task").join(&self.namespace);
            let names: Vec<_> = std::fs::read_dir(&left).into_iter().flatten().flatten().collect();
            assert!(names.is_empty(), "left behind: {names:?}");
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let dir = self.dir.path().display().to_string();
        assert!(!mounts.contains(&dir), "a mount stayed");
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // cgroup v1 hybrid or v2: the parents that runc made for the namespace.
        let own = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for path in own.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]) {
            let _ = std::fs::remove_dir(path.join(&self.namespace));
        }
    }
}

impl Life {
    /// Topics and, of exits, statuses, up to and including the first `last`.
    async fn heard_until(&mut self, last: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let envelope = tokio::time::timeout(Duration::from_secs(30), self.events.recv())
                .await
                .unwrap_or_else(|_| panic!("no {last} after {heard:?}"))
                .expect("event");
            let event = envelope.event.as_ref().expect("event");
            let status = typeurl::unpack::<TaskExit>(event).map(|exit| format!(" {}", exit.exit_status));
            heard.push(format!("{}{}", envelope.topic, status.unwrap_or_default()));
            if envelope.topic == last {
                return heard;
            }
        }
    }
}

async fn shim_pid(task: &Task) -> Pid {
    let question = api::ConnectRequest { id: task.id().to_owned() };
    let answer = task.shim.connected(&question, None).await.expect("connect");
    Pid::from_raw(answer.shim_pid.try_into().expect("pid"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_is_told_of_in_order_and_leaves_nothing() {
    let home = Home::new();
    let mut life = home.begin();
    let task = home.run(&life, "c", "exit 7").await;
    let (one, two) = tokio::join!(task.wait(""), task.wait(""));
    assert_eq!((one.expect("wait").status, two.expect("wait").status), (7, 7));
    assert_eq!(task.wait("").await.expect("once more").status, 7);
    let exit = life.manager.delete(&home.namespace, "c").await.expect("delete");
    assert_eq!(exit.status, 7);
    let heard = life.heard_until("/tasks/delete").await;
    assert_eq!(heard, ["/tasks/create", "/tasks/start", "/tasks/exit 7", "/tasks/delete"]);
    assert_eq!(life.manager.get(&home.namespace, "c").await.expect_err("gone").kind(), Kind::NotFound);
    assert_eq!(task.wait("").await.map(|exit| exit.status).ok(), Some(7));
    home.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_and_a_second_task_of_that_id_are_refused() {
    let home = Home::new();
    let life = home.begin();
    let task = home.run(&life, "c", "sleep 1000").await;
    let again = task.start("").await.expect_err("runs");
    assert_eq!(again.to_string(), "cannot start a running process");
    let twin = life.manager.create(home.create("c", "true")).await.expect_err("taken");
    assert_eq!(twin.kind(), Kind::AlreadyExists);
    let early = life.manager.delete(&home.namespace, "c").await.expect_err("runs").to_string();
    assert!(early.contains("failed to delete task: "), "{early}");
    home.end(&life, "c").await;
    home.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_create_leaves_nothing() {
    let home = Home::new();
    let life = home.begin();
    let mut create = home.create("c", "true");
    create.spec = String::from_utf8(create.spec).expect("text").replace("/bin/sh", "/bin/nope").into_bytes();
    let error = life.manager.create(create).await.expect_err("no such binary").to_string();
    assert!(error.starts_with("failed to create shim task: OCI runtime create failed: "), "{error}");
    assert!(error.contains("no such file or directory"), "{error}");
    let unknown = Create { runtime: "io.containerd.none.v1".into(), ..home.create("c", "true") };
    life.manager.create(unknown).await.expect_err("no such runtime");
    let options = Any { type_url: "containerd.runc.v1.Options".into(), value: vec![0xff] };
    let rubbish = Create { task_options: Some(options), ..home.create("c", "true") };
    assert_eq!(life.manager.create(rubbish).await.expect_err("rubbish").kind(), Kind::InvalidArgument);
    let empty = Create { spec: Vec::new(), ..home.create("c", "true") };
    life.manager.create(empty).await.expect_err("no spec");
    home.assert_empty();
    assert!(life.manager.ids(&home.namespace).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_finds_live_tasks_and_tells_exits_it_missed_once() {
    let home = Home::new();
    let mut life = home.begin();
    home.run(&life, "lives", "sleep 1000").await;
    let ends = home.run(&life, "ends", "sleep 1000").await;
    let (pid, exit_pid) = (life.manager.get(&home.namespace, "lives").await.expect("get").pid(), ends.pid());
    // An event still on its way would rightly be told to the next daemon.
    for _ in 0..2 {
        life.heard_until("/tasks/start").await;
    }
    drop((life, ends));
    kill(Pid::from_raw(exit_pid.try_into().expect("pid")), Signal::SIGKILL).expect("kill");

    let mut life = home.recovered().await;
    let lives = life.manager.get(&home.namespace, "lives").await.expect("found");
    let state = lives.state("").await.expect("state");
    assert_eq!((state.status(), state.pid), (Status::Running, pid));
    assert_eq!(lives.start("").await.expect_err("runs").to_string(), "cannot start a running process");
    assert_eq!(life.heard_until("/tasks/exit").await, ["/tasks/exit 137"]);
    let ends = life.manager.get(&home.namespace, "ends").await.expect("found");
    assert_eq!(ends.wait("").await.expect("wait").status, 137);
    drop(life);

    // A second restart tells nothing anew.
    let mut life = home.recovered().await;
    assert_eq!(home.end(&life, "ends").await.status, 137);
    assert_eq!(life.heard_until("/tasks/delete").await, ["/tasks/delete"]);
    home.end(&life, "lives").await;
    home.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_ends_its_task_with_137_told_once() {
    let home = Home::new();
    let mut life = home.begin();
    let task = home.run(&life, "c", "sleep 1000").await;
    let waiting = tokio::spawn({
        let task = task.clone();
        async move { task.wait("").await }
    });
    kill(shim_pid(&task).await, Signal::SIGKILL).expect("kill");
    assert_eq!(waiting.await.expect("joined").expect("wait").status, 137);
    let heard = life.heard_until("/tasks/delete").await;
    assert_eq!(heard, ["/tasks/create", "/tasks/start", "/tasks/exit 137", "/tasks/delete"]);
    assert_eq!(life.manager.get(&home.namespace, "c").await.expect_err("gone").kind(), Kind::NotFound);
    // Dead; whoever adopted it may not have reaped it yet.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", task.pid())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "the container outlived its clean-up: {stat}");
    home.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_died_while_the_daemon_was_away_is_cleaned_up_after() {
    let home = Home::new();
    let life = home.begin();
    let task = home.run(&life, "c", "sleep 1000").await;
    let shim = shim_pid(&task).await;
    drop((life, task));
    kill(shim, Signal::SIGKILL).expect("kill");
    let mut life = home.recovered().await;
    assert_eq!(life.heard_until("/tasks/delete").await, ["/tasks/exit 137", "/tasks/delete"]);
    assert_eq!(life.manager.get(&home.namespace, "c").await.expect_err("gone").kind(), Kind::NotFound);
    home.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wedged_shim_delays_nobody_and_its_container_lives() {
    let home = Home::new();
    let life = home.begin();
    let task = home.run(&life, "wedged", "sleep 1000").await;
    home.run(&life, "well", "sleep 1000").await;
    let shim = shim_pid(&task).await;
    let init = Pid::from_raw(task.pid().try_into().expect("pid"));
    drop((life, task));
    kill(shim, Signal::SIGSTOP).expect("stop");

    let life = home.recovered().await;
    tokio::select! {
        biased;
        well = life.manager.get(&home.namespace, "well") => { well.expect("found"); }
        wedged = life.manager.get(&home.namespace, "wedged") => panic!("{wedged:?} came before the healthy one"),
    }
    // Known after its limit, without an answer, and not taken for dead.
    let wedged = life.manager.get(&home.namespace, "wedged").await.expect("kept");
    kill(init, None).expect("the container lives");
    kill(shim, Signal::SIGCONT).expect("continue");
    assert_eq!(wedged.state("").await.expect("answers again").status(), Status::Running);
    home.end(&life, "wedged").await;
    home.end(&life, "well").await;
    home.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dying_daemon_left_half_made_is_swept() {
    let home = Home::new();
    let life = home.begin();
    let namespace = home.dir.path().join("state/io.containerd.runtime.v2.task").join(&home.namespace);
    let work = home.dir.path().join("root/io.containerd.runtime.v2.task").join(&home.namespace);
    for path in [namespace.join(".gone/rootfs"), namespace.join("empty"), work.join("orphan")] {
        std::fs::create_dir_all(path).expect("make");
    }
    // Died between the bundle and the shim's answer.
    let bundle = Bundle::of(&life.manager.inner.layout, &home.namespace, "half");
    bundle.create(&home.create("half", "true").spec).expect("bundle");
    bundle.write_shim_path(&life.manager.inner.launcher.resolve(RUNTIME).expect("shim")).expect("path");
    drop(life);
    let life = home.begin();
    life.manager.find().expect("find").recover(|_, _| None).await;
    assert!(life.manager.ids(&home.namespace).is_empty());
    home.assert_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_maker_goes_away_is_undone_and_who_asks_meanwhile_waits() {
    let home = Home::new();
    let life = home.begin();
    let create = life.manager.create(home.create("left", "sleep 1000"));
    tokio::time::timeout(Duration::from_millis(1), create)
        .await
        .expect_err("no shim starts in a millisecond");
    let asked = life.manager.get(&home.namespace, "left").await;
    assert!(asked.is_ok() || life.manager.ids(&home.namespace).is_empty(), "denied while it was made");
    while life.manager.get(&home.namespace, "left").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    home.assert_empty();
}
