//! `/_ping`, `/version`, `/info` and the small ones beside them.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::body::Json;
use super::daemon::Daemon;
use super::error::{json_body, message};
use super::version::{ENGINE_VERSION, MAXIMUM, MINIMUM};
use crate::containers::list::count;
use crate::containers::state::Status;
use crate::error::{Error, Kind, Result};
use crate::images::RegistryAuth;

const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";

/// The routes.
pub(crate) fn router(daemon: Daemon) -> Router {
    let mut router = Router::new()
        .route("/_ping", get(ping))
        .route("/version", get(version))
        .route("/info", get(info))
        .route("/plugins", get(async || json_body(StatusCode::OK, &json!([]))))
        .route("/session", any(no_upgrade))
        .route("/grpc", any(no_upgrade))
        .route("/auth", post(login));
    for path in ["/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs"] {
        router = router.route(path, any(async || message(StatusCode::SERVICE_UNAVAILABLE, NO_SWARM)));
        router = router.route(
            &format!("{path}/{{*rest}}"),
            any(async || message(StatusCode::SERVICE_UNAVAILABLE, NO_SWARM)),
        );
    }
    router.with_state(daemon)
}

async fn login(State(daemon): State<Daemon>, Json(auth): Json<RegistryAuth>) -> Result<Response> {
    daemon.images.login(auth).await?;
    Ok(json_body(StatusCode::OK, &json!({"IdentityToken": "", "Status": "Login Succeeded"})))
}

async fn no_upgrade(headers: HeaderMap) -> Error {
    if !headers.contains_key(header::UPGRADE) {
        return Error::invalid("no upgrade proto in request");
    }
    Error::new(Kind::NotImplemented, "BuildKit is not part of this engine: set DOCKER_BUILDKIT=0")
}

async fn ping(method: Method) -> Response {
    let mut response =
        if method == Method::HEAD { StatusCode::OK.into_response() } else { "OK".into_response() };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    response
}

fn kernel() -> (String, String) {
    let uname = rustix::system::uname();
    (uname.release().to_string_lossy().into_owned(), uname.machine().to_string_lossy().into_owned())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn version(State(daemon): State<Daemon>) -> Result<Response> {
    let below = daemon.containerd.version().await?;
    let (kernel, _) = kernel();
    let commit = option_env!("GIT_COMMIT").unwrap_or("unknown");
    let details = json!({
        "ApiVersion": MAXIMUM.to_string(), "Arch": architecture(), "BuildTime": "", "Experimental": "false", "GitCommit": commit,
        "GoVersion": "none (Rust)", "KernelVersion": kernel, "MinAPIVersion": MINIMUM.to_string(), "Os": "linux",
    });
    let runtime = daemon.containers.runtimes().default_name();
    Ok(json_body(
        StatusCode::OK,
        &json!({
            "Platform": { "Name": "engine (Rust container stack)" },
            "Components": [
                { "Name": "Engine", "Version": ENGINE_VERSION, "Details": details },
                { "Name": "containerd", "Version": below.version, "Details": { "GitCommit": below.revision } },
                { "Name": runtime, "Version": env!("CARGO_PKG_VERSION"), "Details": { "GitCommit": commit } },
            ],
            "Version": ENGINE_VERSION,
            "ApiVersion": MAXIMUM.to_string(),
            "MinAPIVersion": MINIMUM.to_string(),
            "GitCommit": commit,
            "GoVersion": "none (Rust)",
            "Os": "linux",
            "Arch": architecture(),
            "KernelVersion": kernel,
            "BuildTime": "",
        }),
    ))
}

async fn info(State(daemon): State<Daemon>) -> Result<Response> {
    let all = daemon.containers.registry.all();
    let counts = count(&all);
    let number = |status| counts.get(&status).copied().unwrap_or_default();
    let (running, paused) = (number(Status::Running) + number(Status::Restarting), number(Status::Paused));
    let (kernel, machine) = kernel();
    let images = daemon.containerd.images(&[]).await.map_or(0, |images| images.len());
    let below = daemon.containerd.version().await.map(|version| version.revision).unwrap_or_default();
    let runtimes: serde_json::Map<String, Value> = daemon
        .containers
        .runtimes()
        .list()
        .into_iter()
        .map(|(name, path)| (name, json!({ "path": path })))
        .collect();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or_default()
        * 1024;
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |key: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"').to_owned())
            .unwrap_or_default()
    };
    let v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let config = &daemon.config;
    let mut info = json!({
        "ID": daemon.id,
        "Containers": all.len(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": all.len() - running - paused,
        "Images": images,
        "Driver": daemon.containers.snapshotter(),
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "Plugins": {
            "Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": null, "Log": ["json-file", "local", "none"],
        },
    });
    for key in [
        "MemoryLimit",
        "SwapLimit",
        "CpuCfsPeriod",
        "CpuCfsQuota",
        "CPUShares",
        "CPUSet",
        "PidsLimit",
        "IPv4Forwarding",
    ] {
        info[key] = true.into();
    }
    let host = json!({
        "Debug": config.debug,
        "NFd": std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        "OomKillDisable": !v2,
        "NGoroutines": 0,
        "SystemTime": crate::timestamp::rfc3339(Some(crate::timestamp::now())),
        "LoggingDriver": config.log_driver,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": if v2 { "2" } else { "1" },
        "NEventsListener": 0,
        "KernelVersion": kernel,
        "OperatingSystem": field("PRETTY_NAME"),
        "OSVersion": field("VERSION_ID"),
        "OSType": "linux",
        "Architecture": machine,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": { "IndexConfigs": {}, "InsecureRegistryCIDRs": config.insecure_registries, "Mirrors": config.registry_mirrors },
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory,
        "GenericResources": null,
        "DockerRootDir": config.data_root,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": rustix::system::uname().nodename().to_string_lossy(),
        "Labels": config.labels,
    });
    let engine = json!({
        "ExperimentalBuild": false,
        "ServerVersion": ENGINE_VERSION,
        "Runtimes": runtimes,
        "DefaultRuntime": daemon.containers.runtimes().default_name(),
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "", "RemoteManagers": null,
        },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": { "ID": below },
        "RuncCommit": { "ID": "" },
        "InitCommit": { "ID": "" },
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "Warnings": null,
    });
    for part in [host, engine] {
        if let (Value::Object(info), Value::Object(part)) = (&mut info, part) {
            info.extend(part);
        }
    }
    Ok(json_body(StatusCode::OK, &info))
}
