//! Attach: a container's live streams on a connection of the client.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::hijack::{self, Client, InputEnd};
use super::query::{flag, text};
use super::version::Version;
use crate::containers::logs::LogRequest;
use crate::containers::state::Status;
use crate::containers::streams::Output;
use crate::containers::{Container, Containers};
use crate::error::Result;

const DEFAULT_KEYS: &[u8] = &[16, 17];

#[derive(Clone, Debug)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    stream: bool,
    logs: bool,
    keys: Vec<u8>,
}

/// `POST /containers/X/attach`
pub(crate) async fn attach(
    State(containers): State<Containers>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    Extension(version): Extension<Version>,
    request: Request,
) -> Result<Response> {
    let container = containers.registry.find(&name)?;
    let keys = match text(&query, "detachKeys") {
        None => DEFAULT_KEYS.to_vec(),
        Some(keys) => match hijack::parse_keys(keys) {
            Some(keys) => keys,
            None => {
                return Ok(raw_error(
                    StatusCode::BAD_REQUEST,
                    &format!("Invalid detach keys ({keys}) provided"),
                ));
            }
        },
    };
    let refuse = |what: &str| {
        raw_error(
            StatusCode::CONFLICT,
            &format!(
                "container {name} is {what}, {} the container before attach",
                if what == "paused" { "unpause" } else { "wait until" }
            ),
        )
    };
    match container.state().status {
        Status::Paused => return Ok(refuse("paused")),
        Status::Removing | Status::Dead => return Ok(refuse(container.state().status.as_str())),
        _ => {}
    }
    let tty = container.read(crate::containers::record::Record::tty);
    let wanted = Wanted {
        stdin: flag(&query, "stdin"),
        stdout: flag(&query, "stdout"),
        stderr: flag(&query, "stderr"),
        stream: flag(&query, "stream"),
        logs: flag(&query, "logs"),
        keys: if tty && flag(&query, "stdin") { keys } else { Vec::new() },
    };
    // Subscribed before the head goes out: who starts the container after it misses nothing.
    let live = if wanted.stream && (wanted.stdout || wanted.stderr) {
        Some(
            container
                .streams
                .subscribe()
                .map_err(|source| crate::error::Error::caused(format!("attach to {name}"), source))?,
        )
    } else {
        None
    };
    containers.attached(&container);
    Ok(hijack::take_over(request, version, tty, move |client| {
        serve(containers, container, wanted, live, tty, client)
    }))
}

fn raw_error(status: StatusCode, message: &str) -> Response {
    let mut response = Response::new(axum::body::Body::from(format!("{message}\r\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.docker.raw-stream"));
    response
}

async fn serve(
    containers: Containers,
    container: Arc<Container>,
    wanted: Wanted,
    live: Option<crate::containers::streams::Subscription>,
    tty: bool,
    client: Client,
) {
    let Client { input, mut output } = client;
    let running = container.state().status.has_process();
    // A terminal outlives the client that typed: only its attachment ends.
    let stdin_once = !tty && container.read(|record| record.config.stdin_once == Some(true));
    let open_stdin = container.read(|record| record.config.open_stdin == Some(true));
    let (sender, receiver) = mpsc::channel::<Bytes>(8);
    let feed = async {
        if wanted.stdin && wanted.stream && open_stdin {
            feed_input(&containers, &container, receiver, stdin_once).await;
        } else {
            // Bytes nobody wants: read, so that the client's end is seen.
            let mut receiver = receiver;
            while receiver.recv().await.is_some() {}
        }
    };
    let read = async {
        let end = hijack::read_input(input, sender, &wanted.keys).await;
        // Detached, or closed where that ends the attachment: else output goes on to its own end.
        let ends = end == InputEnd::Detached || (wanted.stdin && open_stdin && !stdin_once);
        if !ends {
            std::future::pending::<()>().await;
        }
        end
    };
    let write = async {
        let (stdout, stderr) = (wanted.stdout, wanted.stderr);
        let takes =
            move |kind: Output| (kind == Output::Stdout && stdout) || (kind == Output::Stderr && stderr);
        // Without a terminal the log is exact by lines: log and live output are one reading, without a seam.
        if wanted.logs {
            let follow = wanted.stream && !tty && running;
            let request =
                LogRequest { stdout: wanted.stdout, stderr: wanted.stderr, follow, ..LogRequest::default() };
            if let Ok(log) = containers.logs(&container, request).await {
                hijack::write_output(&mut *output, ReceiverStream::new(log), !tty).await?;
            }
            if follow {
                return Ok(());
            }
        }
        if let Some(live) = live {
            let chunks = futures::stream::unfold(live, move |mut live| async move {
                loop {
                    let (kind, bytes) = live.next().await?;
                    if takes(kind) {
                        return Some(((kind, bytes), live));
                    }
                }
            });
            hijack::write_output(&mut *output, chunks, !tty).await?;
        } else if wanted.stream && wanted.stdin {
            // Input only: attached to the end of the run.
            let mut pulse = container.watch();
            let exits = pulse.borrow_and_update().exits;
            // The sender lives as long as the container.
            let _ = pulse.wait_for(|pulse| pulse.exits > exits || pulse.removed).await;
        }
        Ok::<(), std::io::Error>(())
    };
    let end = tokio::select! {
        written = write => {
            if let Err(error) = written {
                tracing::debug!(container = container.id, %error, "an attached client went away");
            }
            InputEnd::Closed
        }
        end = async { tokio::join!(feed, read).1 } => end,
    };
    if end == InputEnd::Detached {
        containers.detached(&container);
    }
    // The client may have gone first.
    let _ = output.shutdown().await;
}

async fn feed_input(
    containers: &Containers,
    container: &Arc<Container>,
    mut receiver: mpsc::Receiver<Bytes>,
    once: bool,
) {
    while let Some(bytes) = receiver.recv().await {
        if let Err(error) = container.streams.write(&bytes).await {
            tracing::debug!(container = container.id, %error, "input can't be passed on");
            break;
        }
    }
    if once {
        containers.close_input(container).await;
    }
}
