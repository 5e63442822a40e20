//! `POST /images/create?fromImage=`: containerd's Transfer service does it, docker's lines tell of it.

use containerd_client::{Kind as ClientKind, PullRequest, Pulling};
use oci::Reference;
use proto::containerd::types;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

pub use super::pull_progress::Line;
use super::{Images, RegistryAuth, direct::Direct, pull_progress::Lines, wanted::Wanted};
use crate::error::{Error, Result};

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Pull {
    /// `fromImage`
    pub name: String,
    /// `tag`: a tag or a digest; empty: the name's own.
    pub tag: String,
    /// `linux/arm64`, or empty.
    pub platform: String,
    /// From `X-Registry-Auth`.
    pub auth: RegistryAuth,
}

/// A pull whose first word is out. Dropping it gives the pull up.
#[derive(Debug)]
pub struct Pulled {
    lines: mpsc::Receiver<Line>,
    task: tokio::task::JoinHandle<()>,
}

impl Pulled {
    /// The next line; the last one may be an error.
    pub async fn line(&mut self) -> Option<Line> {
        self.lines.recv().await
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who pulls: containerd, or we.
enum Source {
    Transfer(Pulling, Box<Wanted>),
    Direct(mpsc::Receiver<types::transfer::Progress>, AbortOnDropHandle<Result<()>>),
}

impl Source {
    async fn progress(&mut self) -> Option<types::transfer::Progress> {
        match self {
            Source::Transfer(pulling, _) => pulling.progress().await,
            Source::Direct(reports, _) => reports.recv().await,
        }
    }

    async fn end(self) -> Result<()> {
        match self {
            Source::Direct(_, task) => task.await.map_err(|source| Error::caused("pull", source))?,
            Source::Transfer(pulling, wanted) => pulling.end().await.map_err(|error| wanted.failed(&error)),
        }
    }
}

impl Images {
    /// Starts a pull and waits for its first sign of life: until then the answer may be any status.
    ///
    /// # Errors
    /// 400 for a name that is none, 404 for an image that the registry doesn't have, 500 for a registry
    /// that can't be reached.
    pub async fn pull(&self, request: Pull) -> Result<Pulled> {
        let asked = Wanted::parse(&request.name, &request.tag, &request.platform)?;
        let (reference, platform) = (asked.reference.clone(), &asked.platform);
        let before = self.target_of(&reference).await?;
        let here = self.all().await?;
        let here =
            here.iter().flat_map(|image| &image.parsed.manifest.layers).map(|layer| layer.digest.to_string());
        let lines = Lines::new(here.collect());
        let hosts = self.inner.config.hosts.folder_for(reference.domain())?;
        if let Some(old) = &before {
            // The name may move away from it while nothing else holds it. With a name it isn't shown.
            self.keep(old).await?;
        }
        let credentials = request.auth.credentials();
        let call = PullRequest {
            reference: reference.to_string(),
            platform: types::Platform {
                os: platform.os.clone(),
                architecture: platform.architecture.clone(),
                variant: platform.variant.clone(),
                ..types::Platform::default()
            },
            snapshotter: self.inner.config.snapshotter.clone(),
            credentials: credentials.clone(),
            default_scheme: String::new(),
            host_dir: hosts.as_deref().map_or_else(String::new, |dir| dir.to_string_lossy().into_owned()),
        };
        let mut pulling = match self.client().pull(call).await {
            Ok(pulling) => Source::Transfer(pulling, Box::new(asked)),
            Err(error) if error.kind() == ClientKind::Unimplemented => {
                let (progress, reports) = mpsc::channel(64);
                let direct = Direct {
                    client: self.client().clone(),
                    wanted: asked,
                    snapshotter: self.inner.config.snapshotter.clone(),
                    hosts,
                    credentials,
                    progress,
                };
                Source::Direct(reports, AbortOnDropHandle::new(tokio::spawn(direct.run())))
            }
            Err(error) => return Err(asked.failed(&error)),
        };
        // Words about the whole and about manifests are no sign yet that all goes well.
        let mut first = None;
        while let Some(progress) = pulling.progress().await {
            if Lines::is_layer(&progress) {
                first = Some(progress);
                break;
            }
        }
        let (sender, answer) = mpsc::channel(64);
        let images = self.clone();
        if first.is_none() {
            // Nothing to fetch, or nothing that could be: it is over.
            pulling.end().await?;
            let task = tokio::spawn(async move { images.finish(&reference, before, lines, &sender).await });
            return Ok(Pulled { lines: answer, task });
        }
        let task = tokio::spawn(async move {
            let what =
                reference.digest().map_or_else(|| reference.object().into(), |_| reference.to_string());
            let _ = sender.send(Line::pulling(reference.path(), &what)).await;
            let told = images.follow(pulling, first, lines, &sender).await;
            match told {
                Ok(lines) => images.finish(&reference, before, lines, &sender).await,
                Err(error) => drop(sender.send(Line::failure(&error.full_text())).await),
            }
        });
        Ok(Pulled { lines: answer, task })
    }

    async fn follow(
        &self,
        mut pulling: Source,
        first: Option<types::transfer::Progress>,
        mut lines: Lines,
        sender: &mpsc::Sender<Line>,
    ) -> Result<Lines> {
        let mut next = first;
        while let Some(progress) = next {
            for line in lines.take(&progress) {
                let _ = sender.send(line).await;
            }
            next = pulling.progress().await;
        }
        pulling.end().await?;
        Ok(lines)
    }

    /// The last lines, the untagged old image, the event.
    async fn finish(
        &self,
        reference: &Reference,
        before: Option<types::Descriptor>,
        mut lines: Lines,
        sender: &mpsc::Sender<Line>,
    ) {
        let done = async {
            let image = self.resolve(&reference.to_string()).await?;
            let changed = before.as_ref().is_none_or(|old| old.digest != image.target.digest);
            let layers: Vec<String> =
                image.parsed.manifest.layers.iter().map(|l| l.digest.to_string()).collect();
            for line in lines.rest(&layers, changed) {
                let _ = sender.send(line).await;
            }
            self.undangle(&image.target).await?;
            let _ = sender.send(Line::status(format!("Digest: {}", image.target.digest))).await;
            let what = if changed { "Downloaded newer image" } else { "Image is up to date" };
            let _ = sender.send(Line::status(format!("Status: {what} for {}", reference.familiar()))).await;
            self.tell("pull", &reference.familiar(), &reference.familiar_name());
            Ok::<_, Error>(())
        };
        if let Err(error) = done.await {
            let _ = sender.send(Line::failure(&error.full_text())).await;
        }
    }

    async fn target_of(&self, reference: &Reference) -> Result<Option<types::Descriptor>> {
        match self.client().image(&reference.to_string()).await {
            Ok(image) => Ok(image.target),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
