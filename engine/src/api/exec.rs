//! `/containers/X/exec` and `/exec`.

use std::collections::HashMap;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use super::error::json_body;
use super::hijack::{self, Client, InputEnd};
use super::version::Version;
use super::{body, query};
use crate::containers::Containers;
use crate::containers::exec::{Exec, ExecRequest};
use crate::containers::streams::Output;
use crate::error::{Error, Result};

/// The routes.
pub(crate) fn router(containers: Containers) -> Router {
    Router::new()
        .route("/containers/{name}/exec", post(create))
        .route("/exec/{id}/start", post(start))
        .route("/exec/{id}/resize", post(resize))
        .route("/exec/{id}/json", get(inspect))
        .with_state(containers)
}

async fn create(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response> {
    let container = containers.registry.find(&name)?;
    let wanted: ExecRequest = body::typed(body::read(request, false).await?)?;
    if !wanted.detach_keys.is_empty() && hijack::parse_keys(&wanted.detach_keys).is_none() {
        return Err(Error::invalid(format!("Invalid detach keys ({}) provided", wanted.detach_keys)));
    }
    let exec = containers.exec_create(&container, &name, wanted).await?;
    Ok(json_body(StatusCode::CREATED, &json!({ "Id": exec.id })))
}

async fn start(
    State(containers): State<Containers>,
    Path(id): Path<String>,
    Extension(version): Extension<Version>,
    request: Request,
) -> Result<Response> {
    let exec = containers.execs.get(&id)?;
    let upgraded = request.headers().contains_key(http::header::UPGRADE);
    let (parts, content) = request.into_parts();
    let bytes = body::collect(content).await?;
    let given: serde_json::Value = if bytes.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(&bytes).map_err(|error| Error::invalid(format!("invalid JSON: {error}")))?
    };
    let detach = given.get("Detach").or_else(|| given.get("detach")).and_then(serde_json::Value::as_bool)
        == Some(true);
    if detach && !upgraded {
        containers.exec_claim(&exec)?;
        // It must be started even if the client hangs up.
        let work = tokio::spawn(async move { containers.exec_start(&exec, false).await });
        let mut io = work
            .await
            .map_err(|source| Error::caused("start exec", source))?
            .map_err(|error| Error::invalid(error.full_text()))?;
        tokio::spawn(async move { while io.output.recv().await.is_some() {} });
        return Ok(StatusCode::OK.into_response());
    }
    let tty = exec.request.tty;
    let request = Request::from_parts(parts, axum::body::Body::empty());
    Ok(hijack::take_over(request, version, tty, move |client| serve(containers, exec, client)))
}

async fn serve(containers: Containers, exec: std::sync::Arc<Exec>, client: Client) {
    let Client { input, mut output } = client;
    let (tty, request) = (exec.request.tty, exec.request.clone());
    let started = match containers.exec_claim(&exec) {
        Ok(()) => containers.exec_start(&exec, true).await,
        Err(error) => Err(error),
    };
    let mut io = match started {
        Ok(io) => io,
        Err(error) => {
            // The head is out: clients look for the reason among the output.
            let text = Bytes::from(format!("{}\r\n", error.full_text()));
            let once = futures::stream::iter([(Output::Stdout, text)]);
            // The client may have gone.
            let _ = hijack::write_output(&mut *output, once, !tty).await;
            let _ = output.shutdown().await;
            return;
        }
    };
    let keys = match (tty && request.attach_stdin, hijack::parse_keys(&request.detach_keys)) {
        (true, Some(keys)) if !request.detach_keys.is_empty() => keys,
        (true, _) => vec![16, 17],
        (false, _) => Vec::new(),
    };
    let (sender, mut receiver) = mpsc::channel::<Bytes>(8);
    let stdin = io.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            while let Some(bytes) = receiver.recv().await {
                if stdin.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            drop(stdin);
            containers.exec_close_stdin(&exec).await;
        }
        while receiver.recv().await.is_some() {}
    };
    let read = async {
        if hijack::read_input(input, sender, &keys).await != InputEnd::Detached {
            std::future::pending::<()>().await;
        }
    };
    let (stdout, stderr) = (tty || request.attach_stdout, request.attach_stderr);
    let wanted = move |kind| match kind {
        Output::Stdout => stdout,
        Output::Stderr => stderr,
    };
    let write = async {
        let chunks = futures::stream::unfold(&mut io.output, move |chunks| async move {
            loop {
                let (kind, bytes) = chunks.recv().await?;
                if wanted(kind) {
                    return Some(((kind, bytes), chunks));
                }
            }
        });
        // A client that has gone ends its attachment, not the process.
        let _ = hijack::write_output(&mut *output, chunks, !tty).await;
    };
    tokio::select! {
        () = write => {}
        () = async { tokio::join!(feed, read); } => {}
    }
    let _ = output.shutdown().await;
    // Whoever detached or left: the process' output goes on to be read.
    tokio::spawn(async move { while io.output.recv().await.is_some() {} });
}

async fn resize(
    State(containers): State<Containers>,
    Path(id): Path<String>,
    Query(parameters): Query<HashMap<String, String>>,
) -> Result<StatusCode> {
    let exec = containers.execs.get(&id)?;
    let (height, width) = (query::cells(&parameters, "h")?, query::cells(&parameters, "w")?);
    containers.exec_resize(&exec, height, width).await?;
    Ok(StatusCode::OK)
}

async fn inspect(State(containers): State<Containers>, Path(id): Path<String>) -> Result<Response> {
    let exec = containers.execs.get(&id)?;
    let (state, request) = (exec.state(), &exec.request);
    let (entrypoint, arguments) = request
        .cmd
        .split_first()
        .map_or((String::new(), Vec::new()), |(first, rest)| (first.clone(), rest.to_vec()));
    Ok(json_body(
        StatusCode::OK,
        &json!({
            "ID": exec.id,
            "Running": state.running,
            "ExitCode": state.exit_code,
            "ProcessConfig": {
                "tty": request.tty, "entrypoint": entrypoint, "arguments": arguments, "privileged": request.privileged, "user": request.user,
            },
            "OpenStdin": request.attach_stdin,
            "OpenStderr": request.attach_stderr,
            "OpenStdout": request.attach_stdout,
            "CanRemove": false,
            "ContainerID": exec.container.id,
            "DetachKeys": "",
            "Pid": state.pid,
        }),
    ))
}
