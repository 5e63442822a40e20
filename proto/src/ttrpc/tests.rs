use super::*;

fn request(payload: Vec<u8>) -> Request {
    Request {
        service: "containerd.task.v2.Task".into(),
        method: "State".into(),
        payload,
        timeout_nano: 2_000_000_000,
        metadata: vec![KeyValue { key: NAMESPACE_KEY.into(), value: "default".into() }],
    }
}

fn frame(decoder: &mut Decoder) -> Frame {
    match decoder.next_frame() {
        Some(Decoded::Frame(frame)) => frame,
        other => panic!("no frame but {other:?}"),
    }
}

#[test]
fn a_request_survives_the_wire_byte_by_byte() {
    let bytes = encode_request(7, &request(vec![1, 2, 3])).expect("small");
    let mut decoder = Decoder::default();
    for byte in &bytes[..bytes.len() - 1] {
        decoder.feed(&[*byte]);
        assert_eq!(decoder.next_frame(), None);
    }
    decoder.feed(&bytes[bytes.len() - 1..]);
    let frame = frame(&mut decoder);
    assert_eq!((frame.stream, frame.kind, frame.flags), (7, KIND_REQUEST, 0));
    let decoded = frame.request().expect("a request");
    assert_eq!(decoded, request(vec![1, 2, 3]));
    assert_eq!(decoded.metadata_value(NAMESPACE_KEY), Some("default"));
}

#[test]
fn two_frames_in_one_read_come_out_in_order() {
    let mut bytes = encode_request(1, &request(vec![])).expect("small");
    bytes.extend(encode_response(1, &Response::error(Code::NotFound, "no such task")));
    let mut decoder = Decoder::default();
    decoder.feed(&bytes);
    assert_eq!(frame(&mut decoder).kind, KIND_REQUEST);
    let status = frame(&mut decoder).response().expect("a response").into_result().expect_err("failed");
    assert_eq!((Code::from(status.code), status.message.as_str()), (Code::NotFound, "no such task"));
    assert_eq!(decoder.next_frame(), None);
}

#[test]
fn an_oversized_frame_is_skipped_and_the_connection_lives_on() {
    let size = MAX_DATA_SIZE + 5;
    let mut decoder = Decoder::default();
    let mut header = (size as u32).to_be_bytes().to_vec();
    header.extend([0, 0, 0, 3, KIND_REQUEST, 0]);
    decoder.feed(&header);
    decoder.feed(&[0; 100]);
    assert_eq!(decoder.next_frame(), Some(Decoded::TooLarge { stream: 3, size }));
    decoder.feed(&vec![0; size - 100]);
    assert_eq!(decoder.next_frame(), None);
    decoder.feed(&encode_request(5, &request(vec![9])).expect("small"));
    assert_eq!(frame(&mut decoder).stream, 5);
}

#[test]
fn what_is_too_large_to_send_is_an_error_for_the_caller_and_an_answer_for_the_peer() {
    let payload = vec![0; MAX_DATA_SIZE];
    assert!(encode_request(1, &request(payload.clone())).is_err());
    let mut decoder = Decoder::default();
    decoder.feed(&encode_response(1, &Response { status: None, payload }));
    let status = frame(&mut decoder).response().expect("a response").into_result().expect_err("too large");
    assert_eq!(Code::from(status.code), Code::ResourceExhausted);
}

#[test]
fn the_header_is_the_documented_ten_bytes() {
    let bytes = encode_response(0x0102_0304, &Response::ok(&()));
    assert_eq!(bytes, [0, 0, 0, 0, 1, 2, 3, 4, KIND_RESPONSE, 0]);
}
