//! One image for several platforms.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::image::{busybox_rootfs, tar_of, write};

/// An index of images that differ in `/arch`, as an OCI layout with the name `1`.
#[derive(Debug)]
pub struct PlatformIndex {
    /// The folder.
    pub layout: PathBuf,
    /// `sha256:…` of each platform's manifest.
    pub manifests: Vec<String>,
}

impl PlatformIndex {
    /// Builds one for these architectures under `dir`. The programs in it are this machine's own.
    ///
    /// # Panics
    /// Files can't be written, or `tar` fails.
    pub fn build(dir: &Path, architectures: &[&str]) -> Self {
        let rootfs = dir.join("index-rootfs");
        if !rootfs.exists() {
            busybox_rootfs(&rootfs);
        }
        let base = tar_of(&rootfs);
        let layout = dir.join("index-layout");
        let blobs = layout.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("make the layout");
        let mut manifests = Vec::new();
        let mut entries = Vec::new();
        for architecture in architectures {
            let own = dir.join(format!("index-{architecture}"));
            std::fs::create_dir_all(&own).expect("make a layer");
            std::fs::write(own.join("arch"), architecture).expect("write a layer's file");
            let written = write(&blobs, &[base.clone(), tar_of(&own)], architecture);
            entries.push(json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": written.manifest,
                "size": written.size, "platform": {"architecture": architecture, "os": "linux"}
            }));
            manifests.push(written.manifest);
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).to_string();
        let digest = crate::image::put(&blobs, index.as_bytes());
        let top = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": media_type, "digest": digest, "size": index.len(),
            "annotations": {"org.opencontainers.image.ref.name": "1"}}]});
        std::fs::write(layout.join("index.json"), top.to_string()).expect("write index.json");
        std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("write oci-layout");
        Self { layout, manifests }
    }
}
