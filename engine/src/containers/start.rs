//! Starting a container: sandbox → /etc files → spec → record → task → process; undone in reverse.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use containerd_client::Stdio;
use logfile::{BinaryLogger, Format, LogUri};
use oci::user::{MAX_FILE, User};
use proto::containerd::services::containers::v1::{Container as Remote, container::Runtime as RemoteRuntime};
use proto::typeurl;

use super::record::{Intent, Record};
use super::rootfs::Rootfs;
use super::spec::{self, Surroundings};
use super::state::{Change, Status};
use super::streams::Output;
use super::{Container, Containers};
use crate::error::{Error, Kind, Result};
use crate::runtimes::{Runtime, logger_binary, start_failure};

impl Containers {
    /// Starts a container by hand.
    ///
    /// # Errors
    /// 304 when it runs, 400/500 with the runtime's words when it can't.
    pub async fn start(&self, container: &Arc<Container>) -> Result<()> {
        let _operation = container.operation.lock().await;
        if container.state().status == Status::Paused {
            return Err(Error::conflict("cannot start a paused container, try unpause instead"));
        }
        container.update(|record| {
            (record.manually_stopped, record.restart_count) = (false, 0);
            Ok(())
        })?;
        self.start_locked(container).await
    }

    /// Starts; the caller holds the operation.
    pub(super) async fn start_locked(&self, container: &Arc<Container>) -> Result<()> {
        match container.state().status {
            Status::Running | Status::Paused => return Err(Error::not_modified()),
            Status::Removing | Status::Dead => {
                return Err(Error::conflict("container is marked for removal and cannot be started"));
            }
            Status::Created | Status::Exited | Status::Restarting => {}
        }
        container.update(|record| {
            record.intent = Some(Intent::Start);
            Ok(())
        })?;
        let started = self.launch(container).await;
        let error = match started {
            Ok(pid) => {
                container.streams.begin();
                container.update(|record| {
                    record.intent = None;
                    let change = Change::Started { pid, at: crate::timestamp::now() };
                    record.state.apply(change).map_err(|error| Error::conflict(error.to_string()))
                })?;
                self.event(container, "start", &[]);
                return Ok(());
            }
            Err(error) => error,
        };
        self.undo_start(container).await;
        let text = error.full_text();
        let (exit_code, _) = start_failure(&text, &container.read(|record| record.path.clone()));
        container.update(|record| {
            record.intent = None;
            let change = Change::StartFailed { exit_code, error: text };
            record.state.apply(change).map_err(|error| Error::conflict(error.to_string()))
        })?;
        if container.read(Record::auto_remove) {
            let (containers, container) = (self.clone(), container.clone());
            // The caller holds the operation that the removal needs.
            tokio::spawn(async move {
                if let Err(error) = containers.remove(&container, true, true).await {
                    tracing::warn!(
                        container = container.id,
                        error = error.full_text(),
                        "a container whose start failed stays"
                    );
                }
            });
        }
        Err(error)
    }

    async fn launch(&self, container: &Arc<Container>) -> Result<u32> {
        let record = container.record();
        let id = record.id.as_str();
        let runtime = self.runtimes.resolve(record.host_config.runtime.as_deref().unwrap_or_default())?;
        self.ensure_snapshot(&record).await?;
        self.clear_remote(id).await?;
        super::mounts::make_sources(&record.mounts, &self.volumes)?;
        container
            .streams
            .make()
            .map_err(|source| Error::caused(format!("make the fifos of {id}"), source))?;
        let around = self.surroundings(&record).await?;
        let rootfs = self.client.snapshot_mounts(&record.snapshotter, id).await?;
        let spec = {
            let (record, mounts, at) = (record.clone(), rootfs.clone(), self.rootfs_dir(id));
            let work = tokio::task::spawn_blocking(move || {
                let user = look_up_user(&record, &mounts, &at)?;
                spec::build(&record, &Surroundings { user: Some(user), ..around })
            });
            work.await.map_err(|source| Error::caused("build the spec", source))??
        };
        let options = typeurl::pack(&runtime.options);
        let spec = serde_json::to_vec(&spec).map_err(|source| Error::caused("encode the spec", source))?;
        self.client.create_container(remote(&record, &runtime, spec)).await?;
        let stdio = self.stdio(container, &record, &runtime)?;
        let failed = |error: containerd_client::Error| {
            let text = error.message();
            let text = if text.contains("failed to create shim task") {
                text.to_owned()
            } else {
                format!("failed to create shim task: {text}")
            };
            let text = format!("failed to create task for container: {text}");
            let text = if text.ends_with(": unknown") { text } else { format!("{text}: unknown") };
            Error::new(start_failure(&text, &record.path).1, text)
        };
        self.client.create_task(id, rootfs, stdio, Some(options)).await.map_err(failed)?;
        self.client.start_task(id, "").await.map_err(failed)
    }

    /// The sandbox, and the files in /etc.
    async fn surroundings(&self, record: &Record) -> Result<Surroundings> {
        let joined = self.joined(record)?;
        let mut around = Surroundings {
            joined: joined.others,
            netns: joined.netns,
            etc: self.data_dir(&record.id),
            ..Surroundings::default()
        };
        if let Some(other) = joined.etc_of {
            around.etc = self.data_dir(&other);
            return Ok(around);
        }
        let Some(request) = self.network_request(record)? else { return Ok(around) };
        let sandbox = self.networks.prepare(request).await.map_err(|error| {
            let error = Error::from(error);
            Error::new(error.kind(), format!("failed to set up container networking: {error}"))
        })?;
        around.netns = sandbox.netns;
        let dir = self.data_dir(&record.id);
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&dir)?;
            std::fs::write(dir.join("hosts"), &sandbox.files.hosts)?;
            std::fs::write(dir.join("hostname"), &sandbox.files.hostname)?;
            std::fs::write(dir.join("resolv.conf"), &sandbox.files.resolv_conf)
        };
        write().map_err(|source| Error::caused(format!("write the /etc files of {}", record.id), source))?;
        for network in sandbox.networks.keys() {
            let id = sandbox.networks[network].network_id.clone();
            let attributes =
                [("name", network.clone()), ("type", "bridge".to_owned()), ("container", record.id.clone())];
            self.events.publish(
                "network",
                "connect",
                &id,
                attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            );
        }
        Ok(around)
    }

    /// Where the streams go.
    fn stdio(&self, container: &Container, record: &Record, runtime: &Runtime) -> Result<Stdio> {
        let tty = record.tty();
        let stdin = if record.config.open_stdin == Some(true) {
            container.streams.stdin_path().display().to_string()
        } else {
            String::new()
        };
        let log = self.log_uri(record);
        let tee = |output| Some(container.streams.output_path(output));
        if runtime.logs_itself() {
            let of = |output| LogUri { tee: tee(output), ..log.clone() }.to_string();
            let stderr = if tty { String::new() } else { of(Output::Stderr) };
            return Ok(Stdio { stdin, stdout: of(Output::Stdout), stderr, terminal: tty });
        }
        let logger = BinaryLogger {
            log: LogUri { tee: tee(Output::Stdout), ..log },
            tee_stderr: tee(Output::Stderr).filter(|_| !tty),
        };
        let uri = logger.uri(&logger_binary()?);
        let stderr = if tty { String::new() } else { uri.clone() };
        Ok(Stdio { stdin, stdout: uri, stderr, terminal: tty })
    }

    /// The log of a container. Without a driver a small one is kept where a reboot takes it: attach needs
    /// the copy that the writer makes.
    pub(super) fn log_uri(&self, record: &Record) -> LogUri {
        let none = HashMapRef::default();
        let options =
            record.host_config.log_config.as_ref().and_then(|log| log.config.as_ref()).unwrap_or(&none);
        let (format, path) = self.log_place(record);
        let mut log = LogUri::new(format, path);
        log.tee_wait = true;
        log.max_size = options.get("max-size").and_then(|text| logfile::parse_size(text));
        log.max_file = options
            .get("max-file")
            .and_then(|text| text.parse().ok())
            .filter(|number| *number > 0)
            .unwrap_or(1);
        log.compress = options.get("compress").is_some_and(|text| text == "true");
        match record.log_driver() {
            "local" => {
                log.max_size = log.max_size.or(Some(20 << 20));
                log.max_file = options.get("max-file").map_or(5, |_| log.max_file);
            }
            "none" => log.max_size = Some(1 << 20),
            _ => {
                let wanted = |key: &str| {
                    options
                        .get(key)
                        .map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>())
                        .unwrap_or_default()
                };
                let labels = record.labels();
                log.attrs.extend(
                    wanted("labels")
                        .into_iter()
                        .filter_map(|key| Some((key.clone(), labels.get(&key)?.clone()))),
                );
                for key in wanted("env") {
                    let value = record
                        .config
                        .env
                        .iter()
                        .flatten()
                        .find_map(|entry| entry.strip_prefix(&format!("{key}=")).map(str::to_owned));
                    log.attrs.extend(value.map(|value| (key, value)));
                }
                if let Some(tag) = options.get("tag") {
                    log.attrs.insert("tag".into(), tag.clone());
                }
            }
        }
        log
    }

    /// Format and path of a container's log.
    pub(super) fn log_place(&self, record: &Record) -> (Format, PathBuf) {
        let dir = self.data_dir(&record.id);
        match record.log_driver() {
            "local" => (Format::Local, dir.join("local-logs").join("container.log")),
            "none" => (Format::JsonFile, self.exec_dir(&record.id).join("none.log")),
            _ => (Format::JsonFile, dir.join(format!("{}-json.log", record.id))),
        }
    }

    /// A task and record that a failed or killed try left behind.
    pub(super) async fn clear_remote(&self, id: &str) -> Result<()> {
        match self.client.task(id, "").await {
            Ok(_) => self.end_task(id).await,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        self.client.delete_container(id).await?;
        Ok(())
    }

    /// Kills and deletes a task, whatever state it is in.
    pub(super) async fn end_task(&self, id: &str) {
        const TRIES: u32 = 50;
        for _ in 0..TRIES {
            match self.client.delete_task(id).await {
                Ok(_) => return,
                Err(error) if error.is_not_found() => return,
                Err(_) => {}
            }
            // Already ended is what is wanted.
            let _ = self.client.kill_task(id, "", 9, true).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tracing::warn!(container = id, "a task can't be deleted");
    }

    /// Takes away what a start made.
    pub(super) async fn undo_start(&self, container: &Container) {
        let id = &container.id;
        if let Err(error) = self.clear_remote(id).await {
            tracing::warn!(container = id, error = error.full_text(), "parts of a failed start stay");
        }
        super::rootfs::release(&self.rootfs_dir(id));
        self.release_network(container).await;
        container.streams.end().await;
    }

    /// Takes the sandbox away.
    pub(super) async fn release_network(&self, container: &Container) {
        let sandbox = self.networks.sandbox(&container.id);
        if let Err(error) = self.networks.release(&container.id).await {
            tracing::warn!(container = container.id, %error, "parts of a sandbox stay");
        }
        for (name, endpoint) in sandbox.map(|sandbox| sandbox.networks).unwrap_or_default() {
            let attributes =
                [("name", name), ("type", "bridge".to_owned()), ("container", container.id.clone())];
            self.events.publish(
                "network",
                "disconnect",
                &endpoint.network_id,
                attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            );
        }
    }
}

/// containerd's record of a container.
pub(super) fn remote(record: &Record, runtime: &Runtime, spec: Vec<u8>) -> Remote {
    let labels = BTreeMap::from([
        ("engine/name".to_owned(), record.name.clone()),
        ("engine/image".to_owned(), record.image.name.clone()),
    ]);
    let options = Some(typeurl::pack(&runtime.options));
    Remote {
        id: record.id.clone(),
        labels,
        image: record.image.stored_as.clone(),
        runtime: Some(RemoteRuntime { name: runtime.shim.clone(), options }),
        spec: Some(prost_types::Any { type_url: typeurl::SPEC.to_owned(), value: spec }),
        snapshotter: record.snapshotter.clone(),
        snapshot_key: record.id.clone(),
        ..Remote::default()
    }
}

type HashMapRef = std::collections::HashMap<String, String>;

fn look_up_user(
    record: &Record,
    mounts: &[proto::containerd::types::Mount],
    at: &std::path::Path,
) -> Result<User> {
    let failed =
        |source: std::io::Error| Error::caused(format!("look into the file system of {}", record.id), source);
    let rootfs = Rootfs::mount(mounts, at).map_err(failed)?;
    let (passwd, group) = (rootfs.text("/etc/passwd", MAX_FILE), rootfs.text("/etc/group", MAX_FILE));
    let user = record.config.user.as_deref().unwrap_or_default();
    let groups = record.host_config.group_add.clone().unwrap_or_default();
    oci::user::resolve(user, &groups, &passwd, &group)
        .map_err(|error| Error::new(Kind::System, error.to_string()))
}

impl Containers {
    /// Whom an exec in a running container runs as.
    pub(super) async fn exec_user(&self, record: &Record, user: &str) -> Result<User> {
        let pid = record.state.pid;
        let (user, groups) = (user.to_owned(), record.host_config.group_add.clone().unwrap_or_default());
        let work = tokio::task::spawn_blocking(move || {
            let root = super::rootfs::Root::of_process(pid);
            let text = |path| root.as_ref().map(|root| root.text(path, MAX_FILE)).unwrap_or_default();
            oci::user::resolve(&user, &groups, &text("/etc/passwd"), &text("/etc/group"))
        });
        let user = work.await.map_err(|source| Error::caused("look up a user", source))?;
        user.map_err(|error| Error::invalid(error.to_string()))
    }
}
