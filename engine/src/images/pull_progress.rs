//! The daemon's reports turned into docker's lines: layers base first, `Extracting` and `Pull complete`
//! strictly in order.

use std::collections::HashSet;

use proto::containerd::types::transfer::Progress;
use serde::Serialize;

/// One line of a pull's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Line {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<Detail>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub progress: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<Failure>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// Bytes so far, and of how many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

/// Why it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are the API's")]
pub struct Failure {
    pub message: String,
}

impl Line {
    pub(super) fn status(status: impl Into<String>) -> Self {
        Line { status: status.into(), ..Line::default() }
    }

    pub(super) fn pulling(path: &str, object: &str) -> Self {
        Line { status: format!("Pulling from {path}"), id: object.to_owned(), ..Line::default() }
    }

    pub(super) fn failure(message: &str) -> Self {
        Line {
            error_detail: Some(Failure { message: message.to_owned() }),
            error: message.to_owned(),
            ..Line::default()
        }
    }

    fn layer(digest: &str, status: &str) -> Self {
        let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
        Line {
            status: status.to_owned(),
            progress_detail: Some(Detail::default()),
            id: hex.get(..12).unwrap_or(hex).to_owned(),
            ..Line::default()
        }
    }

    fn amount(digest: &str, status: &str, current: i64, total: i64) -> Self {
        Line {
            progress_detail: Some(Detail { current: Some(current), total: (total > 0).then_some(total) }),
            progress: bar(current, total),
            ..Line::layer(digest, status)
        }
    }
}

/// `[=====>     ]  1.5MB/3MB`, as docker draws it.
fn bar(current: i64, total: i64) -> String {
    if total <= 0 || current > total {
        return size(current);
    }
    let filled = usize::try_from(current.saturating_mul(50) / total).unwrap_or(0).min(50);
    let arrow = if filled < 50 { ">" } else { "" };
    let empty = " ".repeat(50usize.saturating_sub(filled + arrow.len()));
    format!("[{}{arrow}{empty}]  {}/{}", "=".repeat(filled), size(current), size(total))
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn size(bytes: i64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            let digits = if value >= 100.0 {
                0
            } else if value >= 10.0 {
                1
            } else {
                2
            };
            let text = format!("{value:.digits$}");
            let text =
                if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            return format!("{text}{unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.2}TB")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    Known,
    Downloading,
    Downloaded,
    /// Unpacked, but a layer below is not.
    Unpacked,
    Done,
}

/// What has been said of each layer so far.
#[derive(Debug, Default)]
pub(super) struct Lines {
    layers: Vec<(String, Stage)>,
    /// Layers that were here before.
    known: HashSet<String>,
    /// `Already exists`, unsaid until something new follows: an image that is up to date says nothing of
    /// its layers.
    unsaid: Vec<Line>,
}

impl Lines {
    pub(super) fn new(known: HashSet<String>) -> Self {
        Lines { known, ..Lines::default() }
    }

    pub(super) fn is_layer(progress: &Progress) -> bool {
        digest(progress).is_some()
    }

    /// The lines that follow from one report.
    pub(super) fn take(&mut self, progress: &Progress) -> Vec<Line> {
        let Some(digest) = digest(progress) else { return Vec::new() };
        let mut lines = Vec::new();
        let at = match self.layers.iter().position(|(known, _)| *known == digest) {
            Some(at) => at,
            None => {
                if progress.event == "already exists" || self.known.contains(&digest) {
                    self.unsaid.push(Line::layer(&digest, "Already exists"));
                    self.layers.push((digest, Stage::Done));
                    return lines;
                }
                lines.append(&mut self.unsaid);
                lines.push(Line::layer(&digest, "Pulling fs layer"));
                self.layers.push((digest.clone(), Stage::Known));
                self.layers.len() - 1
            }
        };
        let stage = self.layers[at].1;
        match progress.event.as_str() {
            // Docker's three at a time: nobody else is told that he waits.
            "waiting" if stage == Stage::Known => {
                let before = self.layers[..at].iter().filter(|(_, stage)| *stage < Stage::Downloaded);
                if before.count() >= 3 {
                    lines.push(Line::layer(&digest, "Waiting"));
                }
            }
            "downloading" if stage < Stage::Downloaded => {
                self.layers[at].1 = Stage::Downloading;
                lines.push(Line::amount(&digest, "Downloading", progress.progress, progress.total));
            }
            "complete" | "already exists" if stage < Stage::Done => self.downloaded(at, &mut lines),
            "extracting" if stage < Stage::Unpacked => {
                self.downloaded(at, &mut lines);
                if self.layers[..at].iter().all(|(_, stage)| *stage == Stage::Done) {
                    lines.push(Line::amount(&digest, "Extracting", progress.progress, progress.total));
                }
            }
            "extracted" if stage < Stage::Unpacked => {
                self.downloaded(at, &mut lines);
                self.layers[at].1 = Stage::Unpacked;
                self.settle(&mut lines);
            }
            _ => {}
        }
        lines
    }

    /// What was left unsaid at the end, for all layers of the image that had something to do; of layers that
    /// were here before only if the image is a new one.
    pub(super) fn rest(&mut self, layers: &[String], new: bool) -> Vec<Line> {
        let mut lines = if new { std::mem::take(&mut self.unsaid) } else { Vec::new() };
        for at in 0..self.layers.len() {
            if self.layers[at].1 < Stage::Unpacked && layers.contains(&self.layers[at].0) {
                self.downloaded(at, &mut lines);
                self.layers[at].1 = Stage::Unpacked;
            }
        }
        self.settle(&mut lines);
        lines
    }

    fn downloaded(&mut self, at: usize, lines: &mut Vec<Line>) {
        if self.layers[at].1 < Stage::Downloaded {
            self.layers[at].1 = Stage::Downloaded;
            lines.push(Line::layer(&self.layers[at].0, "Verifying Checksum"));
            lines.push(Line::layer(&self.layers[at].0, "Download complete"));
        }
    }

    fn settle(&mut self, lines: &mut Vec<Line>) {
        for (digest, stage) in &mut self.layers {
            match stage {
                Stage::Done => {}
                Stage::Unpacked => {
                    *stage = Stage::Done;
                    lines.push(Line::layer(digest, "Pull complete"));
                }
                _ => break,
            }
        }
    }
}

/// The name of a blob's ingest and of its line in reports, as containerd's own clients choose it.
pub(super) fn ingest(blob: &oci::Descriptor) -> String {
    let kind = &blob.media_type;
    let what = if oci::media_type::is_index(kind) {
        "index"
    } else if oci::media_type::is_manifest(kind) {
        "manifest"
    } else if oci::media_type::is_config(kind) {
        "config"
    } else {
        "layer"
    };
    format!("{what}-{}", blob.digest)
}

/// The digest of the layer that a report is about.
fn digest(progress: &Progress) -> Option<String> {
    if let Some(desc) = progress.desc.as_ref().filter(|desc| !desc.media_type.is_empty()) {
        return oci::media_type::is_layer(&desc.media_type).then(|| desc.digest.clone());
    }
    progress.name.strip_prefix("layer-").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(event: &str, layer: char, progress: i64) -> Progress {
        let digest = format!("sha256:{}", layer.to_string().repeat(64));
        Progress {
            event: event.into(),
            name: format!("layer-{digest}"),
            progress,
            total: 10,
            ..Progress::default()
        }
    }

    #[test]
    fn layers_complete_in_order_however_they_come() {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for (event, layer, done) in [
            ("already exists", 'a', 0),
            ("waiting", 'b', 0),
            ("waiting", 'c', 0),
            ("downloading", 'c', 5),
            ("complete", 'c', 10),
            ("extracted", 'c', 10),
            ("downloading", 'b', 5),
            ("complete", 'b', 10),
            ("extracting", 'b', 1),
            ("extracted", 'b', 10),
        ] {
            told.extend(
                lines
                    .take(&report(event, layer, done))
                    .into_iter()
                    .map(|l| format!("{} {}", &l.id[..1], l.status)),
            );
        }
        assert_eq!(
            told,
            [
                "a Already exists",
                "b Pulling fs layer",
                "c Pulling fs layer",
                "c Downloading",
                "c Verifying Checksum",
                "c Download complete",
                "b Downloading",
                "b Verifying Checksum",
                "b Download complete",
                "b Extracting",
                "b Pull complete",
                "c Pull complete"
            ]
        );
        assert!(lines.rest(&[], true).is_empty());
    }

    #[test]
    fn a_fourth_layer_waits_for_the_first_three() {
        let mut lines = Lines::default();
        let told = ['a', 'b', 'c', 'd'].map(|layer| lines.take(&report("waiting", layer, 0)).pop());
        let told = told.map(|line| line.map(|line| line.status).unwrap_or_default());
        let first = "Pulling fs layer";
        assert_eq!(told, [first, first, first, "Waiting"]);
    }

    #[test]
    fn layers_that_are_here_are_told_of_only_for_a_new_image() {
        let known = || Lines::new(HashSet::from([format!("sha256:{}", "a".repeat(64))]));
        let mut lines = known();
        assert!(lines.take(&report("waiting", 'a', 0)).is_empty());
        assert!(lines.take(&report("complete", 'a', 10)).is_empty());
        assert!(lines.rest(&[], false).is_empty());
        let mut lines = known();
        lines.take(&report("waiting", 'a', 0));
        let told: Vec<_> =
            lines.take(&report("waiting", 'b', 0)).into_iter().map(|line| line.status).collect();
        assert_eq!(told, ["Already exists", "Pulling fs layer"]);
    }

    #[test]
    fn manifests_are_not_layers() {
        let manifest = Progress {
            event: "downloading".into(),
            name: "manifest-sha256:aa".into(),
            ..Progress::default()
        };
        assert!(!Lines::is_layer(&manifest));
    }

    #[test]
    fn the_bar_is_dockers() {
        assert_eq!(bar(5, 10), format!("[{}>{}]  5B/10B", "=".repeat(25), " ".repeat(24)));
        assert_eq!(size(1_500_000), "1.5MB");
    }
}
