//! Images on their way through archives and a real registry. Needs root and `docker-registry`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Platform};
use proto::containerd::types::transfer::{Data, RegistryResolver, WindowUpdate};
use proto::typeurl;

use super::*;
use crate::content::{Sharing, Store};
use crate::error::{Error, Kind};
use crate::events::Exchange;
use crate::metadata::Db;
use crate::metadata::filters::Filters;
use crate::snapshots::{Native, Overlayfs, Snapshots};

struct Daemon {
    db: Db,
    store: Store,
    snapshots: Snapshots,
    copier: Copier,
    streams: Streams,
    dir: tempfile::TempDir,
}

impl Daemon {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let db = Db::open(&dir.path().join("meta.db"), Exchange::default()).expect("database");
        let store = Store::open(&dir.path().join("content"), db.clone(), Sharing::Shared).expect("store");
        let overlayfs = Overlayfs::open(&dir.path().join("overlayfs")).expect("overlayfs");
        let native = Native::open(&dir.path().join("native")).expect("native");
        let snapshots =
            Snapshots::open(db.clone(), vec![Arc::new(overlayfs), Arc::new(native)]).expect("snapshots");
        let copier = Copier::new(db.clone(), store.clone(), snapshots.clone());
        Self { db, store, snapshots, copier, streams: Streams::default(), dir }
    }

    /// Imports an archive as a client would send it.
    async fn import(&self, namespace: &str, archive: Vec<u8>, snapshotter: &str) -> Result<(), Error> {
        let (to_daemon, mut from_daemon) = self.streams.open(namespace, "import").expect("open");
        let stream = self.streams.take(namespace, "import").expect("take").expect("stream");
        let sending = tokio::spawn(async move {
            let mut window = 0;
            for chunk in archive.chunks(32 << 10) {
                while window <= 0 {
                    let Some(Ok(update)) = from_daemon.recv().await else { return };
                    window += typeurl::unpack::<WindowUpdate>(&update).expect("update").update;
                }
                window -= chunk.len() as i32;
                if to_daemon.send(typeurl::pack(&Data { data: chunk.to_vec() })).await.is_err() {
                    return;
                }
            }
        });
        let import = Import {
            namespace: namespace.to_owned(),
            lease: None,
            stream,
            name: String::new(),
            references: Vec::new(),
            labels: BTreeMap::new(),
            platforms: Vec::new(),
            unpacks: unpacks(snapshotter),
            progress: Progress::default(),
        };
        let result = self.copier.import(import).await;
        sending.await.expect("sender");
        result
    }

    async fn export(&self, namespace: &str, name: &str) -> Vec<u8> {
        let (to_daemon, mut from_daemon) = self.streams.open(namespace, "export").expect("open");
        let stream = self.streams.take(namespace, "export").expect("take").expect("stream");
        let receiving = tokio::spawn(async move {
            let mut bytes = Vec::new();
            let grant = |update| typeurl::pack(&WindowUpdate { update });
            to_daemon.send(grant(1 << 16)).await.expect("grant");
            while let Some(Ok(data)) = from_daemon.recv().await {
                let data = typeurl::unpack::<Data>(&data).expect("data").data;
                let _ = to_daemon.send(grant(data.len() as i32)).await;
                bytes.extend(data);
            }
            bytes
        });
        let export = Export {
            namespace: namespace.to_owned(),
            names: vec![name.to_owned()],
            prefixes: Vec::new(),
            platforms: Vec::new(),
            is_oci_only: false,
            skips_nondistributable: false,
            stream,
            progress: Progress::default(),
        };
        self.copier.export(export).await.expect("export");
        receiving.await.expect("receiver")
    }

    fn digests(&self, namespace: &str) -> Vec<String> {
        let all = self.store.list(namespace, &Filters::default()).expect("list");
        all.into_iter().map(|info| info.digest).collect()
    }

    async fn pull(&self, namespace: &str, reference: &str, snapshotter: &str) -> Result<(), Error> {
        let pull = Pull {
            namespace: namespace.to_owned(),
            lease: None,
            reference: reference.to_owned(),
            resolver: RegistryResolver::default(),
            credentials: None,
            name: String::new(),
            labels: BTreeMap::new(),
            platforms: Vec::new(),
            unpacks: unpacks(snapshotter),
            progress: Progress::default(),
        };
        self.copier.pull(pull).await
    }

    async fn push(&self, namespace: &str, name: &str, reference: &str) -> Result<(), Error> {
        let push = Push {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            platforms: Vec::new(),
            reference: reference.to_owned(),
            resolver: RegistryResolver::default(),
            credentials: None,
            progress: Progress::default(),
        };
        self.copier.push(push).await
    }
}

fn unpacks(snapshotter: &str) -> Vec<Unpack> {
    if snapshotter.is_empty() {
        return Vec::new();
    }
    vec![Unpack { platform: Platform::host(), snapshotter: snapshotter.to_owned() }]
}

struct Registry(Child, u16, #[expect(dead_code, reason = "kept while the registry runs")] tempfile::TempDir);

impl Registry {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \
             \"127.0.0.1:{port}\"}}\n",
            dir.path().join("data").display()
        );
        std::fs::write(dir.path().join("config.yml"), config).expect("config");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry");
        let registry = Self(child, port, dir);
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return registry;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("docker-registry doesn't listen");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = archive::Writer::new(Vec::new());
    for (name, data) in files {
        tar.append_bytes(name, data).expect("append");
    }
    tar.finish().expect("finish")
}

/// With a `tmp` that the layer above only implies.
fn base_layer(big: &[u8]) -> Vec<u8> {
    let mut tar = archive::Writer::new(Vec::new());
    tar.append_bytes("base", b"base").expect("append");
    tar.append_bytes("gone", big).expect("append");
    let tmp = archive::Entry {
        name: b"tmp".to_vec(),
        kind: archive::Kind::Directory,
        mode: 0o1777,
        ..archive::Entry::default()
    };
    tar.append(&tmp, std::io::empty()).expect("append");
    tar.finish().expect("finish")
}

/// `docker save` of old: layers by folder, the second by a symlink.
fn docker_archive() -> Vec<u8> {
    let big = vec![7; 500_000];
    let layers = [base_layer(&big), layer(&[("top", b"top"), (".wh.gone", b""), ("tmp/implied", b"")])];
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}}}"#,
        diff_ids[0], diff_ids[1]
    );
    let name = Digest::of(config.as_bytes()).hex().to_owned();
    let manifest = format!(
        r#"[{{"Config":"{name}.json","RepoTags":["small:1"],"Layers":["a/layer.tar","b/layer.tar"]}}]"#
    );
    let mut tar = archive::Writer::new(Vec::new());
    tar.append_bytes("manifest.json", manifest.as_bytes()).expect("append");
    tar.append_bytes(&format!("{name}.json"), config.as_bytes()).expect("append");
    tar.append_bytes("a/layer.tar", &layers[0]).expect("append");
    tar.append_bytes("blobs/layer", &layers[1]).expect("append");
    let link = archive::Entry {
        name: b"b/layer.tar".to_vec(),
        kind: archive::Kind::Symlink,
        link: b"../blobs/layer".to_vec(),
        ..archive::Entry::default()
    };
    tar.append(&link, std::io::empty()).expect("append");
    tar.finish().expect("finish")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_in_out_to_a_registry_and_back_and_stays_the_same() {
    let daemon = Daemon::new();
    daemon.import("one", docker_archive(), "overlayfs").await.expect("import");
    let name = "docker.io/library/small:1";
    let image = daemon.db.images().get("one", name).expect("image").target.expect("target");
    assert_eq!(daemon.digests("one").len(), 4, "manifest, configuration, two layers");
    assert_eq!(snapshots(&daemon, "one", "overlayfs"), 2);
    assert_eq!(daemon.db.leases().list("one", &Filters::default()).expect("leases"), []);

    let archive = daemon.export("one", name).await;
    daemon.import("two", archive, "native").await.expect("import again");
    assert_eq!(
        daemon.db.images().get("two", name).expect("image").target.expect("target").digest,
        image.digest
    );
    let top = find_file(&daemon.dir.path().join("native"), "top");
    assert_eq!(std::fs::read(&top).expect("file"), b"top");
    assert!(!top.with_file_name("gone").exists() && top.with_file_name("base").exists());

    let registry = Registry::start().await;
    let reference = format!("127.0.0.1:{}/lib/small:2", registry.1);
    daemon.push("one", name, &reference).await.expect("push");
    let other = Daemon::new();
    other.pull("three", &reference, "overlayfs").await.expect("pull");
    let pulled = other.db.images().get("three", &reference).expect("image").target.expect("target");
    assert_eq!(pulled.digest, image.digest);
    assert_eq!(snapshots(&other, "three", "overlayfs"), 2);
    for daemon in [&daemon, &other] {
        let implied = find_file(&daemon.dir.path().join("overlayfs"), "implied");
        let tmp = std::fs::metadata(implied.parent().expect("parent")).expect("tmp");
        assert_eq!(tmp.permissions().mode() & 0o7777, 0o1777, "an implied directory looks as below");
    }
    // Several at once of the same, in two namespaces: each is whole.
    let third = Daemon::new();
    let pulls = ["a", "a", "b", "b"].map(|namespace| third.pull(namespace, &reference, "overlayfs"));
    for result in futures::future::join_all(pulls).await {
        result.expect("parallel pull");
    }
    assert_eq!((snapshots(&third, "a", "overlayfs"), snapshots(&third, "b", "overlayfs")), (2, 2));
    let left: Vec<_> = std::fs::read_dir(third.dir.path().join("content/ingest")).expect("ingests").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_archive_is_refused_and_leaves_no_image() {
    let whole = docker_archive();
    let wrong = {
        let mut tar = archive::Writer::new(Vec::new());
        let name = format!("blobs/sha256/{}", Digest::of(b"something else").hex());
        tar.append_bytes(&name, b"data").expect("append");
        tar.finish().expect("finish")
    };
    let cases = [
        (b"no archive at all".repeat(100), "read the archive"),
        (whole[..whole.len() / 2].to_vec(), "read the archive"),
        (layer(&[("file", b"x")]), "unrecognized image format"),
        (layer(&[("manifest.json", br#"[{"Config":"c","Layers":[]}]"#)]), "isn't in it"),
        (layer(&[("index.json", br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#)]), "index.json"),
        (wrong, "unexpected commit digest"),
    ];
    for (archive, words) in cases {
        let daemon = Daemon::new();
        let error = daemon.import("n", archive, "").await.expect_err(words);
        let text = tonic::Status::from(error).message().to_owned();
        assert!(text.contains(words), "{text}");
        assert!(daemon.db.images().list("n", &Filters::default()).expect("list").is_empty());
        let left = std::fs::read_dir(daemon.dir.path().join("content/ingest")).expect("ingests").count();
        assert_eq!(left, 0, "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_or_registry_is_said_so() {
    let daemon = Daemon::new();
    let error = daemon.push("n", "no/such:1", "127.0.0.1:1/x:1").await.expect_err("no image");
    assert_eq!(error.kind(), Kind::NotFound);
    let error = daemon.pull("n", "127.0.0.1:1/x:1", "overlayfs").await.expect_err("nobody");
    assert_eq!(error.kind(), Kind::Unavailable);
    let text = tonic::Status::from(error).message().to_owned();
    assert!(text.contains("connection refused"), "{text}");
}

fn snapshots(daemon: &Daemon, namespace: &str, snapshotter: &str) -> usize {
    daemon.snapshots.list(namespace, snapshotter, &Filters::default()).expect("list").len()
}

fn find_file(dir: &std::path::Path, name: &str) -> std::path::PathBuf {
    let mut ahead = vec![dir.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in std::fs::read_dir(dir).expect("list") {
            let path = entry.expect("entry").path();
            if path.file_name().is_some_and(|file| file == name) {
                return path;
            }
            if path.is_dir() {
                ahead.push(path);
            }
        }
    }
    panic!("no {name} below {}", dir.display());
}
