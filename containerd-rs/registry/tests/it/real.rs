use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use oci::{Descriptor, Digest, Manifest, Reference, media_type};
use registry::{BlobSource, Body, Client, Credentials, Pushed, RegistryError, Settings, StaticCredentials};

use crate::server::Real;

struct Memory(Bytes);

impl BlobSource for Memory {
    fn open(&self) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>> {
        let bytes = self.0.clone();
        Box::pin(async move { Ok(futures::stream::iter([Ok(bytes)]).boxed()) })
    }
}

async fn whole(mut body: Body) -> registry::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn reference(text: &str) -> Reference {
    text.parse().expect("reference")
}

async fn round_trip(client: &Client, registry: &Real) {
    let name = reference(&format!("127.0.0.1:{}/lib/bb:1", registry.port));
    let repository = client.repository(&name).expect("repository");
    let layer = Bytes::from(vec![7_u8; 300_000]);
    let config = Bytes::from_static(b"{}");
    let layer_descriptor = Descriptor::of(media_type::LAYER, &layer);
    let config_descriptor = Descriptor::of(media_type::CONFIG, &config);
    for (descriptor, bytes) in [(&layer_descriptor, &layer), (&config_descriptor, &config)] {
        let pushed = repository.push_blob(descriptor, None, &Memory(bytes.clone())).await.expect("push");
        assert_eq!(pushed, Pushed::Uploaded);
        let again = repository.push_blob(descriptor, None, &Memory(bytes.clone())).await.expect("push again");
        assert_eq!(again, Pushed::Existed);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::MANIFEST.to_owned(),
        artifact_type: String::new(),
        config: config_descriptor,
        layers: vec![layer_descriptor.clone()],
        subject: None,
        annotations: Default::default(),
    };
    let bytes = Bytes::from(serde_json::to_vec(&manifest).expect("json"));
    repository.push_manifest(media_type::MANIFEST, bytes.clone(), "1").await.expect("push manifest");

    let found = repository.resolve("1").await.expect("resolve");
    assert_eq!(found, Descriptor::of(media_type::MANIFEST, &bytes));
    assert_eq!(repository.resolve(found.digest.as_str()).await.expect("by digest"), found);
    assert_eq!(repository.manifest(&found).await.expect("manifest"), bytes);
    let body = repository.blob(&layer_descriptor, 0).await.expect("blob");
    assert_eq!(whole(body).await.expect("bytes"), layer);
    let body = repository.blob(&layer_descriptor, 299_990).await.expect("blob");
    assert_eq!(whole(body).await.expect("rest").len(), 10);

    let other =
        client.repository(&reference(&format!("127.0.0.1:{}/other:1", registry.port))).expect("other");
    let mounted = other.push_blob(&layer_descriptor, Some("lib/bb"), &Memory(layer)).await.expect("mount");
    assert_eq!(mounted, Pushed::Mounted("lib/bb".to_owned()));
}

#[tokio::test]
async fn an_image_goes_in_and_comes_out_again() {
    let registry = Real::start(false).await;
    round_trip(&Client::new(Settings::default()), &registry).await;
    assert!(registry.root().join("data/docker").is_dir());
}

#[tokio::test]
async fn a_guarded_registry_wants_the_password() {
    let registry = Real::start(true).await;
    let client = |password: &str| {
        let credentials = Credentials::Basic { username: "user".to_owned(), secret: password.to_owned() };
        Client::new(Settings { credentials: Arc::new(StaticCredentials(credentials)), ..Settings::default() })
    };
    round_trip(&client("password"), &registry).await;
    let name = reference(&format!("127.0.0.1:{}/lib/bb:1", registry.port));
    let nobody = Client::new(Settings::default());
    for (client, words) in [
        (client("wrong"), "authorization: unauthorized: authentication required"),
        (nobody, "/v2/lib/bb/manifests/1\": no basic auth credentials"),
    ] {
        let error = client.repository(&name).expect("repository").resolve("1").await.expect_err("denied");
        assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
        assert!(error.to_string().ends_with(words), "{error}");
        assert!(!error.to_string().contains("password"), "{error}");
    }
}

#[tokio::test]
async fn what_isnt_there_is_not_found_with_the_registrys_words() {
    let registry = Real::start(false).await;
    let name = reference(&format!("127.0.0.1:{}/no/such:1", registry.port));
    let repository = Client::new(Settings::default()).repository(&name).expect("repository");
    let error = repository.resolve("1").await.expect_err("missing");
    let RegistryError::NotFound { message, .. } = &error else { panic!("{error}") };
    assert!(message.starts_with("manifest unknown") || message.starts_with("name unknown"), "{message}");
    let missing = Descriptor::new(media_type::LAYER, Digest::of(b"missing"), 7);
    let error = repository.blob(&missing, 0).await.expect_err("missing blob");
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_is_said_as_clients_know_it() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.local_addr().expect("address").port()
    };
    let name = reference(&format!("127.0.0.1:{port}/x:1"));
    let error = Client::new(Settings::default())
        .repository(&name)
        .expect("repository")
        .resolve("1")
        .await
        .expect_err("gone");
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    let words = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert!(error.to_string().ends_with(&words), "{error}");
}
