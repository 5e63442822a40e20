use std::path::Path;

use proto::ttrpc::encode_response;
use tokio::net::UnixListener;

use super::*;

/// A server that answers `late` after the next request, `never` not at all, and the rest at once.
async fn serve(listener: UnixListener) {
    let (mut stream, _) = listener.accept().await.expect("accept");
    let mut decoder = Decoder::default();
    let mut held = Vec::new();
    let mut chunk = [0; 512];
    loop {
        let count = stream.read(&mut chunk).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        decoder.feed(&chunk[..count]);
        while let Some(Decoded::Frame(frame)) = decoder.next_frame() {
            let request = frame.request().expect("a request");
            assert_eq!(request.metadata_value(NAMESPACE_KEY), Some("ns"));
            let answer = match request.method.as_str() {
                "Late" => {
                    held.push((frame.stream, request.payload));
                    continue;
                }
                "Never" => continue,
                "Die" => return,
                "Fail" => Response::error(Code::NotFound, "no such thing"),
                _ => Response { status: None, payload: request.payload },
            };
            stream.write_all(&encode_response(frame.stream, &answer)).await.expect("write");
            for (id, payload) in held.drain(..) {
                let answer = Response { status: None, payload };
                stream.write_all(&encode_response(id, &answer)).await.expect("write");
            }
        }
    }
}

async fn client(dir: &Path) -> Client {
    let path = dir.join("s");
    tokio::spawn(serve(UnixListener::bind(&path).expect("bind")));
    let address = format!("unix://{}", path.display());
    Client::connect(&address, "ns", Duration::from_secs(5)).await.expect("connect")
}

#[tokio::test]
async fn answers_find_their_calls_in_any_order() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let client = client(dir.path()).await;
    let late = client.call("s", "Late", b"1".to_vec(), None);
    let prompt = async {
        tokio::task::yield_now().await;
        client.call("s", "Echo", b"2".to_vec(), None).await
    };
    let (late, prompt) = tokio::join!(late, prompt);
    assert_eq!((late, prompt), (Ok(b"1".to_vec()), Ok(b"2".to_vec())));
}

#[tokio::test]
async fn a_failed_call_carries_the_servers_status() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let error = client(dir.path()).await.call("s", "Fail", Vec::new(), None).await.expect_err("fails");
    assert_eq!(error, CallError::Status { code: Code::NotFound, message: "no such thing".into() });
}

#[tokio::test]
async fn a_call_without_answer_ends_with_its_time_and_the_connection_lives() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let client = client(dir.path()).await;
    let limit = Some(Duration::from_millis(20));
    let error = client.call("s", "Never", Vec::new(), limit).await.expect_err("no answer");
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    assert_eq!(client.call("s", "Echo", b"x".to_vec(), None).await, Ok(b"x".to_vec()));
}

#[tokio::test]
async fn a_lost_connection_fails_the_calls_that_wait_and_those_to_come() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let client = client(dir.path()).await;
    let (waiting, dying) =
        tokio::join!(client.call("s", "Never", Vec::new(), None), client.call("s", "Die", Vec::new(), None),);
    assert_eq!((waiting, dying), (Err(CallError::Closed), Err(CallError::Closed)));
    client.closed().await;
    assert_eq!(client.call("s", "Echo", Vec::new(), None).await, Err(CallError::Closed));
}
