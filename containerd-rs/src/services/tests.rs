//! The services as clients see them: gRPC over a socket pair.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use proto::containerd::services::containers::v1::{self as containers, Container, container::Runtime};
use proto::containerd::services::content::v1::{self as content, WriteAction, WriteContentRequest};
use proto::containerd::services::images::v1 as images;
use proto::containerd::services::leases::v1 as leases;
use proto::containerd::services::namespaces::v1 as namespaces;
use proto::containerd::services::snapshots::v1 as snapshots;
use proto::containerd::types::Descriptor;
use proto_services::containerd::services as stubs;
use stubs::containers::v1::containers_client::ContainersClient;
use stubs::content::v1::content_client::ContentClient;
use stubs::images::v1::images_client::ImagesClient;
use stubs::leases::v1::leases_client::LeasesClient;
use stubs::namespaces::v1::namespaces_client::NamespacesClient;
use stubs::snapshots::v1::snapshots_client::SnapshotsClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Status};

use crate::content::{Sharing, Store};
use crate::events::Exchange;
use crate::gc::Collector;
use crate::metadata::Db;
use crate::snapshots::{Overlayfs, Snapshots, Snapshotter};

type Call = fn(Request<()>) -> Result<Request<()>, Status>;
type Client = InterceptedService<Channel, Call>;

fn in_namespace(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("containerd-namespace", "ns".parse().expect("ascii"));
    Ok(request)
}

fn bare(request: Request<()>) -> Result<Request<()>, Status> {
    Ok(request)
}

async fn connect(dir: &Path) -> Channel {
    let db = Db::open(&dir.join("meta.db"), Exchange::default()).expect("metadata");
    let store = Store::open(&dir.join("content"), db.clone(), Sharing::Shared).expect("content");
    let overlayfs: Arc<dyn Snapshotter> =
        Arc::new(Overlayfs::open(&dir.join("overlayfs")).expect("overlayfs"));
    let tree = Snapshots::open(db.clone(), vec![overlayfs]).expect("snapshots");
    let collector = Collector::new(db.clone(), store.clone(), tree.clone());
    let router = Server::builder()
        .add_service(stubs::namespaces::v1::namespaces_server::NamespacesServer::new(
            super::namespaces::NamespacesService::new(db.clone()),
        ))
        .add_service(stubs::containers::v1::containers_server::ContainersServer::new(
            super::containers::ContainersService::new(db.clone()),
        ))
        .add_service(stubs::content::v1::content_server::ContentServer::new(
            super::content::ContentService::new(store),
        ))
        .add_service(stubs::images::v1::images_server::ImagesServer::new(super::images::ImagesService::new(
            db.clone(),
            collector.clone(),
        )))
        .add_service(stubs::leases::v1::leases_server::LeasesServer::new(super::leases::LeasesService::new(
            db, collector,
        )))
        .add_service(stubs::snapshots::v1::snapshots_server::SnapshotsServer::new(
            super::snapshots::SnapshotsService::new(tree),
        ));
    let socket = dir.join("socket");
    let listener = tokio::net::UnixListener::bind(&socket).expect("listen");
    tokio::spawn(router.serve_with_incoming(tokio_stream::wrappers::UnixListenerStream::new(listener)));
    Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .expect("connect")
}

fn client(channel: &Channel) -> Client {
    InterceptedService::new(channel.clone(), in_namespace)
}

fn message(action: WriteAction, offset: i64, data: &[u8]) -> WriteContentRequest {
    WriteContentRequest {
        action: action.into(),
        r#ref: "r1".into(),
        offset,
        data: data.to_vec(),
        ..WriteContentRequest::default()
    }
}

async fn write(
    channel: &Channel,
    messages: Vec<WriteContentRequest>,
) -> Result<Vec<content::WriteContentResponse>, Status> {
    let mut answers =
        ContentClient::new(client(channel)).write(futures::stream::iter(messages)).await?.into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push(answer);
    }
    Ok(all)
}

async fn read(
    channel: &Channel,
    digest: &str,
    offset: i64,
    size: i64,
) -> Result<Vec<(i64, Vec<u8>)>, Status> {
    let request = content::ReadContentRequest { digest: digest.into(), offset, size };
    let mut answers = ContentClient::new(client(channel)).read(request).await?.into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push((answer.offset, answer.data));
    }
    Ok(all)
}

#[tokio::test]
async fn content_is_written_and_read_as_gos_client_does() {
    let dir = tempfile::tempdir().expect("temp dir");
    let channel = connect(dir.path()).await;
    let answers = write(
        &channel,
        vec![
            message(WriteAction::Stat, 0, b""),
            WriteContentRequest::default(),
            message(WriteAction::Write, 0, b"hello"),
            message(WriteAction::Write, 5, b" world"),
            WriteContentRequest { total: 11, ..message(WriteAction::Commit, 11, b"") },
        ],
    )
    .await
    .expect("written");
    assert_eq!(answers.iter().map(|a| a.offset).collect::<Vec<_>>(), [0, 0, 5, 11, 11]);
    let digest = answers[4].digest.clone();
    assert_eq!(digest, "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
    assert_eq!(read(&channel, &digest, 6, 3).await.expect("read"), [(0, b"wor".to_vec())]);
    assert_eq!(read(&channel, &digest, 11, 0).await.expect("the end is no error"), []);
    let error = read(&channel, &digest, 12, 0).await.expect_err("past the end");
    assert_eq!(
        (error.code(), error.message()),
        (Code::OutOfRange, "read past object length 11 bytes: out of range")
    );
    let again = WriteContentRequest { expected: digest.clone(), ..message(WriteAction::Stat, 0, b"") };
    assert_eq!(write(&channel, vec![again]).await.expect_err("there").code(), Code::AlreadyExists);
}

#[tokio::test]
async fn offsets_follow_containerds_rules() {
    let dir = tempfile::tempdir().expect("temp dir");
    let channel = connect(dir.path()).await;
    let error =
        write(&channel, vec![message(WriteAction::Write, 0, b"hello"), message(WriteAction::Write, 3, b"x")])
            .await
            .expect_err("a hole");
    assert_eq!(
        (error.code(), error.message()),
        (Code::OutOfRange, "write @3 must occur at current offset 5: out of range")
    );
    let answers =
        write(&channel, vec![message(WriteAction::Stat, 0, b""), message(WriteAction::Write, 0, b"bye")])
            .await
            .expect("offset 0 begins again");
    assert_eq!(answers.iter().map(|a| a.offset).collect::<Vec<_>>(), [5, 3]);
    let no_ref = WriteContentRequest::default();
    assert_eq!(write(&channel, vec![no_ref]).await.expect_err("no ref").code(), Code::InvalidArgument);
    let answers = write(&channel, vec![message(WriteAction::Commit, 0, b"")]).await.expect("empty blob");
    assert_eq!(answers[0].digest, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[tokio::test]
async fn a_request_without_namespace_is_refused_everywhere() {
    let dir = tempfile::tempdir().expect("temp dir");
    let channel = connect(dir.path()).await;
    let bare: Client = InterceptedService::new(channel.clone(), bare);
    let errors = [
        ImagesClient::new(bare.clone()).list(images::ListImagesRequest::default()).await.err(),
        LeasesClient::new(bare.clone()).list(leases::ListRequest::default()).await.err(),
        ContainersClient::new(bare.clone()).list(containers::ListContainersRequest::default()).await.err(),
        ContentClient::new(bare.clone()).info(content::InfoRequest::default()).await.err(),
        SnapshotsClient::new(bare).cleanup(snapshots::CleanupRequest::default()).await.err(),
    ];
    for error in errors {
        let error = error.expect("refused");
        assert_eq!(
            (error.code(), error.message()),
            (Code::FailedPrecondition, "namespace is required: failed precondition")
        );
    }
    let request = namespaces::GetNamespaceRequest { name: "unknown".into() };
    let got = NamespacesClient::new(channel).get(request).await.expect("unknown is no error");
    assert_eq!(got.into_inner().namespace.expect("named").name, "unknown");
}

#[tokio::test]
async fn year_one_times_from_go_are_ignored_and_anys_come_back_as_they_went() {
    let dir = tempfile::tempdir().expect("temp dir");
    let channel = connect(dir.path()).await;
    let mut client = ContainersClient::new(client(&channel));
    let year_one = Some(prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 });
    let spec = prost_types::Any { type_url: proto::typeurl::SPEC.into(), value: b"{\"odd\":1}".to_vec() };
    let container = Container {
        id: "c".into(),
        runtime: Some(Runtime { name: "io.containerd.runc.v2".into(), options: Some(spec.clone()) }),
        spec: Some(spec.clone()),
        created_at: year_one,
        updated_at: year_one,
        extensions: BTreeMap::from([("x".to_owned(), spec.clone())]),
        ..Container::default()
    };
    let create = containers::CreateContainerRequest { container: Some(container.clone()) };
    client.create(create.clone()).await.expect("create");
    assert_eq!(client.create(create).await.expect_err("exists").code(), Code::AlreadyExists);
    let got = client.get(containers::GetContainerRequest { id: "c".into() }).await.expect("get");
    let got = got.into_inner().container.expect("there");
    assert!(got.created_at.expect("set").seconds > 0);
    assert_eq!((got.spec, got.extensions["x"].clone()), (Some(spec.clone()), spec));
    let mask = |path: &str| Some(prost_types::FieldMask { paths: vec![path.to_owned()] });
    let update = |container: Container, path: &str| containers::UpdateContainerRequest {
        container: Some(container),
        update_mask: mask(path),
    };
    let mut labelled = container.clone();
    labelled.labels.insert("a.b/c".into(), "1".into());
    let done = client.update(update(labelled, "labels.a.b/c")).await.expect("update").into_inner();
    assert_eq!(done.container.expect("there").labels["a.b/c"], "1");
    let done = client.update(update(container.clone(), "labels.a.b/c")).await.expect("update").into_inner();
    assert!(done.container.expect("there").labels.is_empty(), "an empty label is removed");
    let error = client.update(update(container, "runtime")).await.expect_err("immutable");
    assert_eq!(error.code(), Code::InvalidArgument);
    let error = client.get(containers::GetContainerRequest { id: "z".into() }).await.expect_err("missing");
    assert_eq!(error.message(), "container \"z\" in namespace \"ns\": not found");
}

#[tokio::test]
async fn a_sync_lease_delete_returns_after_the_blob_is_gone() {
    let dir = tempfile::tempdir().expect("temp dir");
    let channel = connect(dir.path()).await;
    let mut client = LeasesClient::new(client(&channel));
    let made = client.create(leases::CreateRequest::default()).await.expect("create").into_inner();
    let id = made.lease.expect("made").id;
    assert_eq!((id.len(), id.as_bytes()[9]), (14, b'-'), "{id}");
    let digest = write(&channel, vec![message(WriteAction::Commit, 0, b"data")]).await.expect("write")[0]
        .digest
        .clone();
    let resource = |kind: &str, id: &str| Some(leases::Resource { id: id.into(), r#type: kind.into() });
    let add = |resource| leases::AddResourceRequest { id: id.clone(), resource };
    client.add_resource(add(resource("content", &digest))).await.expect("hold");
    let error = client.add_resource(add(resource("zork", "x"))).await.expect_err("no such type");
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unimplemented, "resource type zork not supported yet: not implemented")
    );
    client.delete(leases::DeleteRequest { id, sync: true }).await.expect("delete");
    assert_eq!(std::fs::read_dir(dir.path().join("content/blobs/sha256")).expect("list").count(), 0);
}

#[tokio::test]
async fn a_namespace_is_deleted_only_when_it_is_empty() {
    let dir = tempfile::tempdir().expect("temp dir");
    let channel = connect(dir.path()).await;
    let mut spaces = NamespacesClient::new(channel.clone());
    let mut images_client = ImagesClient::new(client(&channel));
    let digest = format!("sha256:{}", "a".repeat(64));
    let target = |digest: &str| Descriptor {
        media_type: "m".into(),
        digest: digest.into(),
        size: 3,
        ..Descriptor::default()
    };
    let image =
        images::Image { name: "im".into(), target: Some(target(&digest)), ..images::Image::default() };
    let create = images::CreateImageRequest { image: Some(image), source_date_epoch: None };
    images_client.create(create).await.expect("create");
    let listed = spaces.list(namespaces::ListNamespacesRequest::default()).await.expect("list").into_inner();
    assert_eq!(listed.namespaces.len(), 1, "writing makes a namespace");
    let delete = namespaces::DeleteNamespaceRequest { name: "ns".into() };
    let error = spaces.delete(delete.clone()).await.expect_err("not empty");
    assert_eq!(
        error.message(),
        "namespace \"ns\" must be empty, but it still has images: failed precondition"
    );
    let other = format!("sha256:{}", "b".repeat(64));
    let wrong = images::DeleteImageRequest { name: "im".into(), sync: true, target: Some(target(&other)) };
    let error = images_client.delete(wrong).await.expect_err("another target");
    assert_eq!(error.message(), format!("image \"im\" has target {digest}, not {other}: not found"));
    let right = images::DeleteImageRequest { name: "im".into(), sync: true, target: None };
    images_client.delete(right).await.expect("delete");
    spaces.delete(delete).await.expect("empty now");
}

#[tokio::test]
async fn snapshots_are_listed_with_their_kinds_and_a_bad_filter_is_shown() {
    let dir = tempfile::tempdir().expect("temp dir");
    let channel = connect(dir.path()).await;
    let mut client = SnapshotsClient::new(client(&channel));
    let prepare = snapshots::PrepareSnapshotRequest {
        snapshotter: "overlayfs".into(),
        key: "k".into(),
        ..snapshots::PrepareSnapshotRequest::default()
    };
    let mounts = client.prepare(prepare).await.expect("prepare").into_inner().mounts;
    assert_eq!(mounts[0].r#type, "bind");
    let list = |filter: &str| snapshots::ListSnapshotsRequest {
        snapshotter: "overlayfs".into(),
        filters: vec![filter.to_owned()],
    };
    let mut stream = client.list(list("kind==active")).await.expect("list").into_inner();
    let infos = stream.message().await.expect("message").expect("one").info;
    assert_eq!((infos[0].name.as_str(), infos[0].kind()), ("k", snapshots::Kind::Active));
    let error = client.list(list("id=x")).await.expect_err("no operator");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("[id >|=|< x]: unsupported operator \"=\""), "{error:?}");
}
