use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci::{Descriptor, Digest, Reference, media_type};
use registry::{Client, Credentials, RegistryError, Repository, Settings, StaticCredentials};

use crate::server::{Scripted, Seen, answer};

fn client() -> Client {
    let credentials = Credentials::Basic { username: "user".to_owned(), secret: "s3cret".to_owned() };
    Client::new(Settings {
        credentials: Arc::new(StaticCredentials(credentials)),
        headers: [(http::HeaderName::from_static("x-private"), http::HeaderValue::from_static("mine"))]
            .into_iter()
            .collect(),
        default_scheme: Some("http".to_owned()),
        ..Settings::default()
    })
}

fn repository(server: &Scripted) -> Repository {
    let reference: Reference = format!("127.0.0.1:{}/r:1", server.port).parse().expect("reference");
    client().repository(&reference).expect("repository")
}

async fn read(repository: &Repository, blob: &Descriptor, offset: u64) -> registry::Result<Vec<u8>> {
    let mut body = repository.blob(blob, offset).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn layer(bytes: &[u8]) -> Descriptor {
    Descriptor::of(media_type::LAYER, bytes)
}

/// A registry that wants a password before it answers `then`.
fn guarded(request: &Seen, then: impl Fn() -> Vec<u8>) -> Vec<u8> {
    if request.headers.contains_key("authorization") {
        then()
    } else {
        answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"r\"\r\n", b"")
    }
}

#[tokio::test]
async fn a_broken_connection_is_gone_on_with_by_range() {
    let data: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let served = data.clone();
    let server = Scripted::start(move |request| {
        let from = request.headers.get("range").map_or(0, |range| {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().expect("offset")
        });
        let until = (from + 30_000).min(served.len());
        let status = if from == 0 { "200 OK" } else { "206 Partial Content" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\n\r\n",
            served.len() - from,
            served.len() - 1,
            served.len()
        );
        [head.as_bytes(), &served[from..until]].concat()
    })
    .await;
    let bytes = read(&repository(&server), &layer(&data), 0).await.expect("whole in pieces");
    assert!(bytes == data);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_range_answered_with_the_whole_file_is_cut() {
    let server = Scripted::start(|_| answer("200 OK", "", b"0123456789")).await;
    let bytes = read(&repository(&server), &layer(b"0123456789"), 7).await.expect("rest");
    assert_eq!(bytes, b"789");
}

#[tokio::test]
async fn a_wrong_range_is_refused() {
    let server =
        Scripted::start(|_| answer("206 Partial Content", "Content-Range: bytes 3-9/10\r\n", b"3456789"))
            .await;
    let error = read(&repository(&server), &layer(b"0123456789"), 7).await.expect_err("wrong range");
    assert!(matches!(error, RegistryError::BadAnswer { .. }), "{error}");
}

#[tokio::test]
async fn a_short_or_long_blob_is_an_error() {
    let short = Scripted::start(|_| answer("200 OK", "", b"0123")).await;
    let error = read(&repository(&short), &layer(b"0123456789"), 0).await.expect_err("short");
    assert!(
        error.to_string().contains("unexpected EOF") || matches!(error, RegistryError::BadAnswer { .. }),
        "{error}"
    );
    let long = Scripted::start(|_| answer("200 OK", "", &[0; 4096])).await;
    let error = read(&repository(&long), &layer(b"0123456789"), 0).await.expect_err("long");
    assert!(matches!(error, RegistryError::TooLarge { limit: 10, .. }), "{error}");
}

#[tokio::test]
async fn a_manifest_that_isnt_its_digest_is_refused() {
    let server = Scripted::start(|_| answer("200 OK", "Content-Type: application/json\r\n", b"{}")).await;
    let wanted = Descriptor::new(media_type::MANIFEST, Digest::of(b"other"), 2);
    let error = repository(&server).manifest(&wanted).await.expect_err("wrong");
    assert!(matches!(error, RegistryError::WrongDigest { .. }), "{error}");
    let error = repository(&server).resolve(wanted.digest.as_str()).await;
    assert!(error.is_ok_and(|found| found.digest == wanted.digest), "a digest asked for is never replaced");
    let huge = Descriptor::new(media_type::MANIFEST, Digest::of(b""), 1 << 40);
    let error = repository(&server).manifest(&huge).await.expect_err("huge");
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
}

/// CVE-2020-15157: credentials were sent to whatever host a manifest or a redirect named.
#[tokio::test]
async fn cve_2020_15157_secrets_stay_with_their_registry() {
    let elsewhere = Scripted::start(|_| answer("200 OK", "", b"0123456789")).await;
    let port = elsewhere.port;
    let redirecting = Scripted::start(move |request| {
        guarded(request, || {
            answer("307 Temporary Redirect", &format!("Location: http://127.0.0.1:{port}/elsewhere\r\n"), b"")
        })
    })
    .await;
    assert_eq!(
        read(&repository(&redirecting), &layer(b"0123456789"), 0).await.expect("redirected"),
        b"0123456789"
    );
    let missing = Scripted::start(|request| guarded(request, || answer("404 Not Found", "", b""))).await;
    let foreign =
        Descriptor { urls: vec![format!("http://127.0.0.1:{port}/foreign")], ..layer(b"0123456789") };
    assert_eq!(read(&repository(&missing), &foreign, 0).await.expect("foreign"), b"0123456789");
    for server in [&redirecting, &missing] {
        let seen = server.seen();
        assert!(seen.iter().any(|request| request.headers.contains_key("authorization")), "{seen:?}");
        assert!(seen.iter().all(|request| request.headers.contains_key("x-private")), "{seen:?}");
    }
    let seen = elsewhere.seen();
    assert_eq!(seen.len(), 2);
    for request in seen {
        for secret in ["authorization", "x-private", "cookie"] {
            assert!(!request.headers.contains_key(secret), "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_foreign_host_that_asks_for_credentials_gets_none() {
    let asking =
        Scripted::start(|_| answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")).await;
    let port = asking.port;
    let missing = Scripted::start(|_| answer("404 Not Found", "", b"")).await;
    let foreign = Descriptor { urls: vec![format!("http://127.0.0.1:{port}/foreign")], ..layer(b"x") };
    read(&repository(&missing), &foreign, 0).await.expect_err("nowhere");
    assert!(asking.seen().iter().all(|request| !request.headers.contains_key("authorization")));
}

#[tokio::test]
async fn a_bearer_token_is_asked_for_once_per_scope() {
    let tokens = Arc::new(AtomicUsize::new(0));
    let count = tokens.clone();
    let token_server = Scripted::start(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        answer("200 OK", "", br#"{"token":"t0ken"}"#)
    })
    .await;
    let port = token_server.port;
    let server = Scripted::start(move |request| {
        if request.headers.get("authorization").is_some_and(|value| value == "Bearer t0ken") {
            return answer("200 OK", "", b"0123456789");
        }
        let challenge = format!(
            "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"reg\",scope=\"ignored\"\r\n"
        );
        answer("401 Unauthorized", &challenge, b"")
    })
    .await;
    let repository = repository(&server);
    for _ in 0..3 {
        read(&repository, &layer(b"0123456789"), 0).await.expect("read");
    }
    assert_eq!(tokens.load(Ordering::Relaxed), 1);
    let asked = &token_server.seen()[0];
    assert_eq!(asked.path, "/token?service=reg&scope=repository%3Ar%3Apull");
    assert!(asked.headers["authorization"].starts_with("Basic "));
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_and_a_wrong_password_is_not_repeated() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let busy = Scripted::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => answer("503 Service Unavailable", "", b""),
        _ => answer("200 OK", "", b"0123456789"),
    })
    .await;
    assert_eq!(read(&repository(&busy), &layer(b"0123456789"), 0).await.expect("third"), b"0123456789");
    let refusing =
        Scripted::start(|_| answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")).await;
    let error = read(&repository(&refusing), &layer(b"x"), 0).await.expect_err("refused");
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    assert_eq!(refusing.seen().len(), 2);
}

#[tokio::test]
async fn endless_redirects_end() {
    let server = Scripted::start(|_| answer("302 Found", "Location: /again\r\n", b"")).await;
    let error = read(&repository(&server), &layer(b"x"), 0).await.expect_err("loop");
    assert!(matches!(error, RegistryError::BadAnswer { .. }), "{error}");
}
