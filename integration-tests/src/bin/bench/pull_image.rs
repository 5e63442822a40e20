//! The image that is pulled: layers of this machine's own files, the same at every run.
//!
//! It is made once and kept in a registry's folder below `target/bench`; a marker that is written last
//! says that it is whole.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use integration_tests::{Netns, Registry};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{interrupt, report};

/// The port on loopback from which the image is pulled.
pub(crate) const PORT: u16 = 5001;
/// Its name there.
pub(crate) const NAME: &str = "127.0.0.1:5001/machine:1";

/// Sizes of the layers' files in MB, large ones below as images have them.
const LAYERS_MB: [u64; 6] = [240, 150, 100, 60, 40, 10];
/// How many layers it has.
pub(crate) const LAYERS: usize = LAYERS_MB.len();
const SOURCES: [&str; 5] = ["/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/share", "/usr/lib"];

/// An image in a registry's folder.
#[derive(Debug)]
pub(crate) struct PullImage {
    /// The registry's data.
    pub(crate) data: PathBuf,
    /// Size of the compressed layers, bytes.
    pub(crate) compressed: u64,
    /// Size of the layers' tar archives, bytes.
    pub(crate) unpacked: u64,
}

/// The image, made if it isn't there yet.
///
/// # Errors
/// This machine has too few files, or they can't be packed.
pub(crate) fn get() -> Result<PullImage> {
    let folder = report::folder().join("pull-image");
    let (data, marker) = (folder.join("registry"), folder.join("image.json"));
    if let Ok(text) = std::fs::read_to_string(&marker) {
        let kept: Value = serde_json::from_str(&text).context("read the kept image's marker")?;
        if let (Some(compressed), Some(unpacked)) = (kept["compressed"].as_u64(), kept["unpacked"].as_u64()) {
            return Ok(PullImage { data, compressed, unpacked });
        }
    }
    println!("\nmaking the image to pull of this machine's own files (kept in {}) …", folder.display());
    let _ = std::fs::remove_dir_all(&folder);
    let layout = folder.join("layout");
    let (compressed, unpacked) = build(&layout)?;
    let netns = Netns::new();
    let registry = Registry::start_on(&netns, &data, PORT);
    registry.copy(&netns, &format!("oci:{}:1", layout.display()), "machine:1");
    registry.stop();
    std::fs::remove_dir_all(&layout).context("remove the layout")?;
    std::fs::write(&marker, json!({"compressed": compressed, "unpacked": unpacked}).to_string())
        .context("write the image's marker")?;
    Ok(PullImage { data, compressed, unpacked })
}

fn build(layout: &Path) -> Result<(u64, u64)> {
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).with_context(|| format!("make {}", blobs.display()))?;
    let mut files = files()?.into_iter();
    let (mut diff_ids, mut layers) = (Vec::new(), Vec::new());
    let (mut compressed, mut unpacked) = (0, 0);
    for megabytes in LAYERS_MB {
        interrupt::check()?;
        let mut names = Vec::new();
        let mut left = megabytes << 20;
        while left > 0 {
            let (path, size) = files.next().context("this machine has too few files for the image")?;
            left = left.saturating_sub(size);
            names.extend_from_slice(path.trim_start_matches('/').as_bytes());
            names.push(0);
        }
        let layer = pack(&blobs, &names)?;
        compressed += layer.compressed;
        unpacked += layer.unpacked;
        diff_ids.push(layer.diff_id);
        layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": layer.digest, "size": layer.compressed
        }));
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}
    });
    let (digest, size) = put(&blobs, &config)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size},
        "layers": layers
    });
    let (digest, size) = put(&blobs, &manifest)?;
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
        "annotations": {"org.opencontainers.image.ref.name": "1"}}]});
    std::fs::write(layout.join("index.json"), index.to_string()).context("write index.json")?;
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .context("write oci-layout")?;
    Ok((compressed, unpacked))
}

/// Regular files of the machine with their sizes, sorted within each source, each once.
fn files() -> Result<Vec<(String, u64)>> {
    let mut all = Vec::new();
    for source in SOURCES {
        let mut here = Vec::new();
        walk(Path::new(source), &mut here);
        here.sort();
        all.extend(here);
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|(path, _): &(String, u64)| seen.insert(path.clone()));
    ensure!(!all.is_empty(), "no files below {}", SOURCES.join(" "));
    Ok(all)
}

fn walk(dir: &Path, files: &mut Vec<(String, u64)>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            walk(&entry.path(), files);
        } else if let (true, Ok(meta), Some(path)) = (kind.is_file(), entry.metadata(), entry.path().to_str())
        {
            files.push((path.to_owned(), meta.len()));
        }
    }
}

struct Layer {
    digest: String,
    diff_id: String,
    compressed: u64,
    unpacked: u64,
}

/// One layer, by tar and gzip's usual level, hashed on the way.
fn pack(blobs: &Path, names: &[u8]) -> Result<Layer> {
    let (list, unfinished) = (blobs.join("list"), blobs.join("unfinished"));
    std::fs::write(&list, names).context("write the list of files")?;
    let mut tar = Command::new("tar")
        .args(["-C", "/", "--null", "--no-recursion", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mtime=@0", "--hard-dereference", "--format=gnu", "-cf", "-", "-T"])
        .arg(&list)
        .stdout(Stdio::piped())
        .spawn()
        .context("start tar")?;
    let mut stdout = tar.stdout.take().context("tar's output")?;
    let mut gzip =
        flate2::write::GzEncoder::new(Hashed::new(File::create(&unfinished)?), flate2::Compression::new(6));
    let (mut tar_hash, mut unpacked) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = stdout.read(&mut buffer).context("read from tar")?;
        if count == 0 {
            break;
        }
        tar_hash.update(&buffer[..count]);
        unpacked += count as u64;
        gzip.write_all(&buffer[..count]).context("compress")?;
    }
    let status = tar.wait().context("wait for tar")?;
    ensure!(status.success(), "tar: {status}");
    let hashed = gzip.finish().context("compress")?;
    let digest = hex::encode(hashed.hash.finalize());
    std::fs::rename(&unfinished, blobs.join(&digest)).context("name a layer")?;
    std::fs::remove_file(&list).context("remove the list")?;
    Ok(Layer {
        digest: format!("sha256:{digest}"),
        diff_id: format!("sha256:{}", hex::encode(tar_hash.finalize())),
        compressed: hashed.written,
        unpacked,
    })
}

struct Hashed {
    file: File,
    hash: Sha256,
    written: u64,
}

impl Hashed {
    fn new(file: File) -> Self {
        Self { file, hash: Sha256::new(), written: 0 }
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn put(blobs: &Path, document: &Value) -> Result<(String, usize)> {
    let text = document.to_string();
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    std::fs::write(blobs.join(&digest), &text).context("write a blob")?;
    Ok((format!("sha256:{digest}"), text.len()))
}
