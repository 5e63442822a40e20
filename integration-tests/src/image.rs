//! Images made from the machine's own busybox: no registry on the internet is needed.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};

const APPLETS: &[&str] = &[
    "sh", "ls", "cat", "echo", "sleep", "true", "false", "id", "ps", "mkdir", "rm", "cp", "mv", "touch",
    "env", "hostname", "ip", "ping", "wget", "nc", "httpd", "nslookup", "kill", "seq", "date", "mount",
    "umount", "stat", "grep", "head", "tail", "wc", "dd", "tr", "usleep", "test", "stty", "tty", "sync",
    "ln", "chmod", "chown", "printf", "readlink", "yes", "sort", "cut", "awk", "sed", "find", "df", "free",
    "uname", "whoami", "trap",
];

/// Lays out a root file system with busybox and its applets.
///
/// # Panics
/// busybox-static isn't installed, or `dir` can't be written.
pub fn busybox_rootfs(dir: &Path) {
    for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "var", "www"] {
        std::fs::create_dir_all(dir.join(folder)).expect("make a folder of the rootfs");
    }
    std::fs::set_permissions(dir.join("tmp"), PermissionsExt::from_mode(0o1777)).expect("chmod tmp");
    std::fs::copy("/bin/busybox", dir.join("bin/busybox")).expect("busybox-static is installed");
    for applet in APPLETS {
        symlink("busybox", dir.join("bin").join(applet)).expect("link an applet");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n";
    std::fs::write(dir.join("etc/passwd"), passwd).expect("write passwd");
    let group = "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n";
    std::fs::write(dir.join("etc/group"), group).expect("write group");
    std::fs::write(dir.join("www/index.html"), "hello from inside\n").expect("write the page");
}

/// An image as an OCI layout tar, of one busybox layer and any number of small ones above.
#[derive(Debug)]
pub struct BusyboxImage {
    /// The layout as a tar archive, which `ctr images import` and skopeo (`oci-archive:`) read.
    pub archive: PathBuf,
    /// `sha256:…` of the manifest.
    pub manifest: String,
    /// `sha256:…` of the config: docker's image id.
    pub config: String,
}

impl BusyboxImage {
    /// Builds the image under `dir` for the name `reference`.
    ///
    /// # Panics
    /// Files can't be written, or `tar` fails.
    pub fn build(dir: &Path, reference: &str) -> Self {
        let rootfs = dir.join("image-rootfs");
        busybox_rootfs(&rootfs);
        let layout = dir.join("image-layout");
        let blobs = layout.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("make the layout");
        let mut layers = Vec::new();
        let base = tar_of(&rootfs);
        layers.push(base);
        for name in ["second", "third"] {
            let small = dir.join(name);
            std::fs::create_dir_all(small.join("layers")).expect("make a layer");
            std::fs::write(small.join("layers").join(name), name).expect("write a layer's file");
            layers.push(tar_of(&small));
        }
        let Written { manifest, config, size } = write(&blobs, &layers, "amd64");
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": size,
            "platform": {"architecture": "amd64", "os": "linux"},
            "annotations": {"io.containerd.image.name": reference,
                "org.opencontainers.image.ref.name": reference.rsplit(':').next()}}]});
        std::fs::write(layout.join("index.json"), index.to_string()).expect("write index.json");
        std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("write oci-layout");
        let archive = dir.join("image.tar");
        let status = Command::new("tar")
            .args(["-C", path(&layout), "-cf", path(&archive), "oci-layout", "index.json", "blobs"])
            .status()
            .expect("run tar");
        assert!(status.success(), "tar: {status}");
        Self { archive, manifest, config }
    }
}

/// What an image is found by in its layout.
pub(crate) struct Written {
    /// `sha256:…` of the manifest.
    pub(crate) manifest: String,
    /// `sha256:…` of the configuration.
    pub(crate) config: String,
    /// Bytes of the manifest.
    pub(crate) size: usize,
}

/// Writes an image of these layers (tars) among the blobs of a layout.
pub(crate) fn write(blobs: &Path, layers: &[Vec<u8>], architecture: &str) -> Written {
    let diff_ids: Vec<String> = layers.iter().map(|tar| digest(tar)).collect();
    let descriptors: Vec<_> = layers
        .iter()
        .map(|tar| {
            let gz = gzip(tar);
            let name = put(blobs, &gz);
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": name, "size": gz.len()})
        })
        .collect();
    let history: Vec<_> = (0..layers.len())
        .map(|n| json!({"created": "2026-01-01T00:00:00Z", "created_by": format!("layer {n}")}))
        .collect();
    let document = json!({
        "created": "2026-01-01T00:00:00Z", "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["sh"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history
    })
    .to_string();
    let config = put(blobs, document.as_bytes());
    let document = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": document.len()},
        "layers": descriptors
    })
    .to_string();
    Written { manifest: put(blobs, document.as_bytes()), config, size: document.len() }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

pub(crate) fn tar_of(dir: &Path) -> Vec<u8> {
    let args = [
        "-C",
        path(dir),
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "-cf",
        "-",
        ".",
    ];
    let output = Command::new("tar").args(args).output().expect("run tar");
    assert!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("compress in memory")
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

pub(crate) fn put(blobs: &Path, bytes: &[u8]) -> String {
    let name = digest(bytes);
    std::fs::write(blobs.join(&name["sha256:".len()..]), bytes).expect("write a blob");
    name
}
