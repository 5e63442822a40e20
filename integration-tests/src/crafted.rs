//! Images made in memory, so that each part can be made to lie.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::tar::{TarEntry, tar};

/// `sha256:…` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Bytes as a gzip stream.
///
/// # Panics
/// Never: memory takes it.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("compress in memory")
}

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image: its documents, still to be changed, and its blobs by digest.
#[derive(Clone, Debug)]
pub struct CraftedImage {
    /// The manifest.
    pub manifest: Value,
    /// Everything but the manifest, under the digest it is asked for by.
    pub blobs: BTreeMap<String, Vec<u8>>,
}

impl CraftedImage {
    /// A true image of gzipped layers, each given as its tar.
    pub fn new(layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        Self::with_diff_ids(layers, &diff_ids)
    }

    /// As [`CraftedImage::new`], the configuration telling these diff ids.
    pub fn with_diff_ids(layers: &[Vec<u8>], diff_ids: &[String]) -> Self {
        let mut blobs = BTreeMap::new();
        let descriptors: Vec<Value> = layers
            .iter()
            .map(|layer| {
                let packed = gzip(layer);
                let (name, size) = (digest(&packed), packed.len());
                blobs.insert(name.clone(), packed);
                json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": name, "size": size})
            })
            .collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        .to_string();
        let name = digest(config.as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": descriptors,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": name, "size": config.len()}});
        blobs.insert(name, config.into_bytes());
        Self { manifest, blobs }
    }

    /// A true image of one small layer.
    pub fn small() -> Self {
        Self::new(&[tar(&[TarEntry::directory("etc"), TarEntry::file("etc/name", b"small\n")])])
    }

    /// Digest of a layer, counted from 0.
    ///
    /// # Panics
    /// There is no such layer.
    pub fn layer(&self, number: usize) -> String {
        self.manifest["layers"][number]["digest"].as_str().expect("a layer's digest").to_owned()
    }

    /// Puts other bytes under a layer's digest.
    pub fn replace_layer(&mut self, number: usize, bytes: Vec<u8>) {
        self.blobs.insert(self.layer(number), bytes);
    }

    /// Puts other bytes in a layer's place, the manifest telling the truth about them.
    pub fn exchange_layer(&mut self, number: usize, bytes: Vec<u8>) {
        self.blobs.remove(&self.layer(number));
        let name = digest(&bytes);
        self.manifest["layers"][number]["size"] = bytes.len().into();
        self.manifest["layers"][number]["digest"] = name.as_str().into();
        self.blobs.insert(name, bytes);
    }

    /// Writes an OCI layout tar, as `ctr images import` reads it.
    ///
    /// # Panics
    /// The file can't be written.
    pub fn write_archive(&self, path: &Path, reference: &str) {
        let manifest = self.manifest.to_string();
        let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST,
            "digest": digest(manifest.as_bytes()), "size": manifest.len(),
            "annotations": {"io.containerd.image.name": reference}}]})
        .to_string();
        let mut names = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
        names.push(("index.json".to_owned(), index.into_bytes()));
        let blobs = self.blobs.iter().map(|(name, bytes)| (name.clone(), bytes.clone()));
        for (name, bytes) in blobs.chain([(digest(manifest.as_bytes()), manifest.into_bytes())]) {
            names.push((format!("blobs/{}", name.replace(':', "/")), bytes));
        }
        let entries: Vec<TarEntry<'_>> =
            names.iter().map(|(name, bytes)| TarEntry::file(name, bytes)).collect();
        std::fs::write(path, tar(&entries)).expect("write the archive");
    }
}
