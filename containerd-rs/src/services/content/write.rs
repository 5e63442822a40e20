//! A write stream: every request is answered once, in order.

use proto::containerd::services::content::v1::{WriteAction, WriteContentRequest, WriteContentResponse};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::blocking::blocking;
use crate::content::{Finish, Ingest, Store};
use crate::error::{Error, Kind, Result, as_go_says};
use crate::request::Scope;

/// One stream's state: the ingest that its first message named.
pub(super) struct Writing {
    store: Store,
    scope: Scope,
    ingest: Option<Ingest>,
}

type Answer = std::result::Result<WriteContentResponse, Status>;

impl Writing {
    pub(super) fn new(store: Store, scope: Scope) -> Self {
        Self { store, scope, ingest: None }
    }

    /// Answers until the client ends the stream, commits, or makes a mistake. The lock on the ref
    /// goes with the stream.
    pub(super) async fn serve(
        mut self,
        mut requests: Streaming<WriteContentRequest>,
        answers: mpsc::Sender<Answer>,
    ) {
        loop {
            let request = tokio::select! {
                request = requests.message() => request,
                // The client went away without ending the stream.
                () = answers.closed() => return,
            };
            let request = match request {
                Ok(Some(request)) => request,
                Ok(None) => return,
                // One that can't be read, such as a too large one.
                Err(status) => {
                    let _ = answers.send(Err(as_go_says(status))).await;
                    return;
                }
            };
            let (this, answer) = match blocking(move || Ok(self.step(request))).await {
                Ok(stepped) => stepped,
                Err(error) => {
                    let _ = answers.send(Err(error.into())).await;
                    return;
                }
            };
            self = this;
            let is_last = answer.is_err()
                || answer.as_ref().is_ok_and(|answer| answer.action == i32::from(WriteAction::Commit));
            if is_last {
                // Whoever saw the answer may open the ref again at once.
                self.ingest = None;
            }
            if answers.send(answer.map_err(Status::from)).await.is_err() || is_last {
                return;
            }
        }
    }

    fn step(mut self, request: WriteContentRequest) -> (Self, Result<WriteContentResponse>) {
        let answer = self.answer(request);
        (self, answer)
    }

    fn answer(&mut self, request: WriteContentRequest) -> Result<WriteContentResponse> {
        let ingest = self.open(&request)?;
        let action = WriteAction::try_from(request.action)
            .map_err(|_| Error::invalid(format!("unknown write action {}", request.action)))?;
        match action {
            WriteAction::Stat => {}
            WriteAction::Write => {
                place(ingest, &request)?;
                ingest.write(&request.data)?;
            }
            WriteAction::Commit => {
                // A client that has nothing to write commits where another's blob ends.
                if !request.data.is_empty() || request.offset > 0 || ingest.needs_bytes() {
                    place(ingest, &request)?;
                }
                ingest.write(&request.data)?;
                let finish = Finish { size: size(request.total), expected: &request.expected };
                ingest.commit(finish, request.labels)?;
            }
        }
        let status = ingest.status();
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Ok(WriteContentResponse {
            action: action.into(),
            started_at: Some(status.started_at.into()),
            updated_at: Some(status.updated_at.into()),
            offset: number(status.offset),
            total: number(status.total),
            digest: ingest.digest(),
        })
    }

    fn open(&mut self, request: &WriteContentRequest) -> Result<&mut Ingest> {
        if let Some(ingest) = &self.ingest
            && !request.r#ref.is_empty()
            && request.r#ref != ingest.reference()
        {
            return Err(Error::invalid(format!(
                "the stream writes ref {:?}, not {:?}",
                ingest.reference(),
                request.r#ref
            )));
        }
        let opened = match self.ingest.take() {
            Some(ingest) => ingest,
            None => {
                if request.r#ref.is_empty() {
                    return Err(Error::invalid("first message must have a reference"));
                }
                let (ns, lease) = (&self.scope.namespace, self.scope.lease.as_deref());
                self.store.writer(ns, &request.r#ref, &request.expected, size(request.total), lease)?
            }
        };
        Ok(self.ingest.insert(opened))
    }
}

/// Checks the offset; 0 with bytes there begins again (it also stands for "not given").
fn place(ingest: &mut Ingest, request: &WriteContentRequest) -> Result<()> {
    let current = ingest.offset();
    let wanted = size(request.offset);
    if wanted == 0 && current > 0 {
        return ingest.restart();
    }
    if wanted != current {
        let text = format!("write @{wanted} must occur at current offset {current}");
        return Err(Error::new(Kind::OutOfRange, text));
    }
    Ok(())
}

/// To containerd a negative number is one that isn't given.
fn size(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
