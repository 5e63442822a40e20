//! `GET /images/json`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Image, Images};
use crate::{
    error::{Error, Result},
    filters::Filters,
    timestamp,
};

const FILTERS: &[&str] = &["before", "since", "dangling", "label", "label!", "reference", "until"];

/// One row. Field order is docker's.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Summary {
    pub containers: i64,
    pub created: i64,
    pub id: String,
    pub labels: Option<BTreeMap<String, String>>,
    pub parent_id: String,
    pub repo_digests: Vec<String>,
    pub repo_tags: Vec<String>,
    pub shared_size: i64,
    pub size: i64,
}

impl Images {
    /// The rows, newest first.
    ///
    /// # Errors
    /// An unknown filter, an unknown image in `before` or `since`.
    pub async fn list(&self, filters: &Filters) -> Result<Vec<Summary>> {
        filters.only(FILTERS)?;
        let mut images = self.all().await?;
        let created = |image: &Image| created_nanos(image);
        for (key, later) in [("since", true), ("before", false)] {
            for name in filters.get(key) {
                let bound = created(&self.resolve(name).await?);
                images.retain(|image| if later { created(image) > bound } else { created(image) < bound });
            }
        }
        if let Some(until) = filters.get("until").first() {
            let bound = timestamp::parse(until).map_err(Error::invalid)?;
            images.retain(|image| created(image) < bound);
        }
        if let Some(dangling) = filters.flag("dangling")? {
            images.retain(|image| image.tags.is_empty() == dangling);
        }
        images.retain(|image| {
            filters.labels(&image.parsed.config.config.labels.clone().into_iter().collect())
                && (!filters.has("reference") || names(filters, image).next().is_some())
        });
        let mut rows = Vec::with_capacity(images.len());
        for image in &images {
            rows.push(self.row(image, filters).await);
        }
        rows.sort_by(newest_first);
        Ok(rows)
    }

    async fn row(&self, image: &Image, filters: &Filters) -> Summary {
        let labels = &image.parsed.config.config.labels;
        // Of an image's names those that are asked for.
        let of = |all: &[String]| all.iter().filter(|name| wanted(filters, name)).cloned().collect();
        Summary {
            containers: (self.inner.config.users)(image.id()).len().try_into().unwrap_or(i64::MAX),
            created: created_nanos(image) / 1_000_000_000,
            id: image.id().to_owned(),
            labels: (!labels.is_empty()).then(|| labels.clone()),
            parent_id: String::new(),
            repo_digests: of(&image.digests),
            repo_tags: of(&image.tags),
            shared_size: -1,
            size: self.layer_sizes(&image.parsed).await.iter().sum(),
        }
    }
}

fn newest_first(a: &Summary, b: &Summary) -> Ordering {
    b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id))
}

/// What images take on disk.
#[derive(Debug)]
pub struct Usage {
    /// Of all layers, each counted once, in bytes.
    pub layers: i64,
    /// All rows, with their shared sizes.
    pub images: Vec<Summary>,
}

impl Images {
    /// What images take, and how much of it they share.
    ///
    /// # Errors
    /// containerd can't be asked.
    pub async fn usage(&self) -> Result<Usage> {
        let mut layers: HashMap<String, (i64, usize)> = HashMap::new();
        let images = self.all().await?;
        for image in &images {
            let sizes = self.layer_sizes(&image.parsed).await;
            for (chain, size) in image.parsed.chain.iter().zip(sizes) {
                layers.entry(chain.clone()).or_insert((size, 0)).1 += 1;
            }
        }
        let shared = |image: &Image| {
            let known = image.parsed.chain.iter().filter_map(|chain| layers.get(chain));
            known.filter(|(_, users)| *users > 1).map(|(size, _)| size).sum()
        };
        let mut rows = Vec::with_capacity(images.len());
        for image in &images {
            let row = self.row(image, &Filters::default()).await;
            rows.push(Summary { shared_size: shared(image), ..row });
        }
        rows.sort_by(newest_first);
        Ok(Usage { layers: layers.values().map(|(size, _)| size).sum(), images: rows })
    }
}

/// The tags and digests of an image that the `reference` filter lets through.
fn names<'a>(filters: &'a Filters, image: &'a Image) -> impl Iterator<Item = &'a String> {
    image.tags.iter().chain(&image.digests).filter(|name| wanted(filters, name))
}

fn wanted(filters: &Filters, name: &str) -> bool {
    filters.any("reference", |pattern| fits(pattern, name))
}

pub(super) fn created_nanos(image: &Image) -> i64 {
    image.parsed.config.created.as_deref().and_then(|text| timestamp::parse(text).ok()).unwrap_or(0)
}

/// `*` and `?` match within a path element; a pattern without a tag or digest means each of them.
fn fits(pattern: &str, reference: &str) -> bool {
    let (name, _) =
        reference.split_once('@').or_else(|| reference.rsplit_once(':')).unwrap_or((reference, ""));
    glob(pattern.as_bytes(), reference.as_bytes()) || glob(pattern.as_bytes(), name.as_bytes())
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text) || text.split_first().is_some_and(|(c, tail)| *c != b'/' && glob(pattern, tail))
        }
        (Some((b'?', rest)), Some((c, tail))) => *c != b'/' && glob(rest, tail),
        (Some((p, rest)), Some((c, tail))) => p == c && glob(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_patterns_stop_at_slashes() {
        assert!(fits("busy*", "busybox:latest"));
        assert!(fits("*:latest", "busybox:latest"));
        assert!(!fits("127*", "127.0.0.1:5000/x:1"));
        assert!(fits("127.0.0.1:5000/*", "127.0.0.1:5000/x:1"));
    }
}
