//! `GET /images/X/json` and `GET /images/X/history`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Images, list::created_nanos};
use crate::{error::Result, timestamp};

/// An image in full. Field order is docker's.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Inspect {
    pub id: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub parent: String,
    pub comment: String,
    pub created: String,
    pub docker_version: String,
    pub author: String,
    pub config: Value,
    pub architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    pub os: String,
    pub size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
    pub graph_driver: Value,
    #[serde(rename = "RootFS")]
    pub root_fs: Value,
    pub metadata: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Value>,
}

/// One step of an image's history.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct History {
    pub comment: String,
    pub created: i64,
    pub created_by: String,
    pub id: String,
    pub size: i64,
    pub tags: Option<Vec<String>>,
}

impl Images {
    /// The image in the shape of API 1.`minor`.
    ///
    /// # Errors
    /// 404.
    pub async fn inspect(&self, name: &str, minor: u16) -> Result<Inspect> {
        let image = self.resolve(name).await?;
        let parsed = &image.parsed;
        let size: i64 = self.layer_sizes(parsed).await.iter().sum();
        let text = |key: &str| parsed.raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let comment = parsed.config.history.last().map(|step| step.comment.clone()).unwrap_or_default();
        let tagged = (image.tagged > 0).then(|| image.tagged.saturating_mul(1_000_000_000));
        let target = &image.target;
        Ok(Inspect {
            id: image.id().to_owned(),
            repo_tags: image.tags.clone(),
            repo_digests: image.digests.clone(),
            parent: String::new(),
            comment,
            created: parsed.config.created.clone().unwrap_or_else(|| timestamp::rfc3339(None)),
            docker_version: text("docker_version"),
            author: parsed.config.author.clone(),
            config: config(parsed.raw.get("config"), minor),
            architecture: text("architecture"),
            variant: text("variant"),
            os: text("os"),
            size,
            virtual_size: (minor <= 43).then_some(size),
            graph_driver: json!({"Data": null, "Name": self.inner.config.snapshotter}),
            root_fs: json!({"Type": "layers", "Layers": parsed.config.rootfs.diff_ids}),
            metadata: json!({"LastTagTime": timestamp::rfc3339(tagged)}),
            descriptor: (minor >= 48).then(
                || json!({"mediaType": target.media_type, "digest": target.digest, "size": target.size}),
            ),
        })
    }

    /// The steps that made the image, newest first.
    ///
    /// # Errors
    /// 404.
    pub async fn history(&self, name: &str) -> Result<Vec<History>> {
        let image = self.resolve(name).await?;
        let mut sizes = self.layer_sizes(&image.parsed).await.into_iter();
        let mut steps: Vec<History> = image
            .parsed
            .config
            .history
            .iter()
            .map(|step| History {
                comment: step.comment.clone(),
                created: step.created.as_deref().and_then(|text| timestamp::parse(text).ok()).unwrap_or(0)
                    / 1_000_000_000,
                created_by: step.created_by.clone(),
                id: "<missing>".into(),
                size: if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
                tags: None,
            })
            .collect();
        // Layers that the history says nothing of.
        steps.extend(sizes.map(|size| History {
            comment: String::new(),
            created: created_nanos(&image) / 1_000_000_000,
            created_by: String::new(),
            id: "<missing>".into(),
            size,
            tags: None,
        }));
        steps.reverse();
        if let Some(top) = steps.first_mut() {
            image.id().clone_into(&mut top.id);
            top.tags = (!image.tags.is_empty()).then(|| image.tags.clone());
        }
        Ok(steps)
    }
}

/// The image's configuration; before 1.50 with the fields that only containers have.
fn config(given: Option<&Value>, minor: u16) -> Value {
    let mut shown = Map::new();
    if minor < 50 {
        for key in ["Hostname", "Domainname", "User", "Image", "WorkingDir"] {
            shown.insert(key.into(), "".into());
        }
        for key in ["AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"] {
            shown.insert(key.into(), false.into());
        }
        shown.insert("OnBuild".into(), Value::Null);
    }
    for key in ["Env", "Cmd", "Entrypoint", "Volumes", "Labels"] {
        shown.insert(key.into(), Value::Null);
    }
    if minor >= 50 {
        shown.insert("WorkingDir".into(), "".into());
        shown.insert("OnBuild".into(), Value::Null);
    }
    for (key, value) in given.and_then(Value::as_object).into_iter().flatten() {
        shown.insert(key.clone(), value.clone());
    }
    Value::Object(shown)
}
