//! `pull`.

use http::{HeaderName, Method};

use crate::client::Client;
use crate::credentials;
use crate::progress::{self, To};

/// Download an image from a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long)]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    image: String,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let (repository, tag) = split_tag(&self.image);
        if self.all_tags && tag.is_some() {
            anyhow::bail!("tag can't be used with --all-tags/-a");
        }
        let to = if self.quiet { To::Nowhere } else { To::Stdout };
        if tag.is_none() && !self.all_tags && !self.quiet {
            say!("Using default tag: latest");
        }
        if self.all_tags {
            request(client, repository, None, self.platform.as_deref(), to).await?;
        } else {
            image(client, &self.image, self.platform.as_deref(), to).await?;
        }
        say!("{}", full_name(&if self.all_tags { self.image } else { with_tag(&self.image) }));
        Ok(0)
    }
}

/// Pulls one image, showing progress.
pub(super) async fn image(
    client: &Client,
    image: &str,
    platform: Option<&str>,
    to: To,
) -> anyhow::Result<()> {
    let (repository, tag) = split_tag(image);
    request(client, repository, Some(tag.unwrap_or("latest")), platform, to).await
}

async fn request(
    client: &Client,
    repository: &str,
    tag: Option<&str>,
    platform: Option<&str>,
    to: To,
) -> anyhow::Result<()> {
    let mut query = vec![("fromImage", full_name(repository))];
    query.extend(tag.map(|t| ("tag", t.to_owned())));
    query.extend(platform.map(|p| ("platform", p.to_owned())));
    let auth = (HeaderName::from_static("x-registry-auth"), credentials::header(repository));
    let body = client.open(Method::POST, "/images/create", &query, &[auth]).await?;
    progress::show(body, to).await
}

/// The repository, and the tag or digest.
pub(super) fn split_tag(image: &str) -> (&str, Option<&str>) {
    if let Some((repository, digest)) = image.split_once('@') {
        return (repository, Some(digest));
    }
    match image.rsplit_once(':') {
        // A port's colon has a slash behind it.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (image, None),
    }
}

/// With `:latest` where nothing else is said.
pub(super) fn with_tag(image: &str) -> String {
    if split_tag(image).1.is_some() { image.to_owned() } else { format!("{image}:latest") }
}

/// With the registry and, on Docker's, `library/`.
fn full_name(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_and_completed() {
        assert_eq!(split_tag("localhost:5000/a/b"), ("localhost:5000/a/b", None));
        assert_eq!(split_tag("localhost:5000/a:1"), ("localhost:5000/a", Some("1")));
        assert_eq!(split_tag("a@sha256:ff"), ("a", Some("sha256:ff")));
        assert_eq!(with_tag("busybox"), "busybox:latest");
        assert_eq!(full_name("busybox"), "docker.io/library/busybox");
        assert_eq!(full_name("me/x"), "docker.io/me/x");
        assert_eq!(full_name("localhost:5000/x"), "localhost:5000/x");
    }
}
