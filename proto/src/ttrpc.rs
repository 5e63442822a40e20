//! ttrpc frames (containerd/ttrpc `PROTOCOL.md`), without I/O.
//!
//! A frame is a header of ten bytes (u32 data length, u32 stream id, both big endian; u8 kind; u8
//! flags) and its data. Unary calls are one [`Request`] and one [`Response`] on the same stream.
//! Callers read bytes however they like, hand them to a [`Decoder`] and write what the `encode_*`
//! functions return.

use prost::{DecodeError, Message};

use crate::google::rpc::Status;
use crate::status::Code;

/// Bytes of a frame's header.
pub const HEADER_SIZE: usize = 10;
/// The largest data a frame may carry, in bytes; more is answered with `ResourceExhausted`.
pub const MAX_DATA_SIZE: usize = 4 << 20;

/// Kind of a frame that opens a stream and holds a [`Request`].
pub const KIND_REQUEST: u8 = 1;
/// Kind of a frame that ends a stream and holds a [`Response`].
pub const KIND_RESPONSE: u8 = 2;
/// Kind of a frame that belongs to an open (non-unary) stream.
pub const KIND_DATA: u8 = 3;

/// The metadata key by which the namespace travels (from containerd 1.7 on; 1.6 sends none).
pub const NAMESPACE_KEY: &str = "containerd-namespace-ttrpc";

/// What a client asks.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// Full name of the service, `package.Service`.
    #[prost(string, tag = "1")]
    pub service: String,
    /// Name of the method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// The encoded message.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// Time left for the call in nanoseconds; 0 is no limit.
    #[prost(int64, tag = "4")]
    pub timeout_nano: i64,
    /// Metadata; several values of a key are several entries.
    #[prost(message, repeated, tag = "5")]
    pub metadata: Vec<KeyValue>,
}

/// One entry of a request's metadata.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// Key, in lower case.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// What a server answers.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// Absent or code 0 is success.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// The encoded message.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

impl Response {
    /// The answer of a call that went well.
    pub fn ok(message: &impl Message) -> Self {
        Self { status: None, payload: message.encode_to_vec() }
    }

    /// The answer of a call that failed.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        let status = Status { code: code as i32, message: message.into(), details: Vec::new() };
        Self { status: Some(status), payload: Vec::new() }
    }

    /// The payload, or the status of a failed call.
    ///
    /// # Errors
    /// The status, if its code isn't 0.
    pub fn into_result(self) -> Result<Vec<u8>, Status> {
        match self.status {
            Some(status) if status.code != 0 => Err(status),
            _ => Ok(self.payload),
        }
    }
}

impl Request {
    /// The first value of a metadata key.
    pub fn metadata_value(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }
}

/// A whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Stream the frame belongs to; clients choose odd, rising numbers.
    pub stream: u32,
    /// One of the `KIND_*` values; others are to be ignored.
    pub kind: u8,
    /// Flags, whose meaning depends on the kind; 0 for unary calls.
    pub flags: u8,
    /// The data.
    pub data: Vec<u8>,
}

impl Frame {
    /// Decodes the data of a request frame.
    ///
    /// # Errors
    /// The data isn't a [`Request`].
    pub fn request(&self) -> Result<Request, DecodeError> {
        Request::decode(self.data.as_slice())
    }

    /// Decodes the data of a response frame.
    ///
    /// # Errors
    /// The data isn't a [`Response`].
    pub fn response(&self) -> Result<Response, DecodeError> {
        Response::decode(self.data.as_slice())
    }
}

/// What a [`Decoder`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A frame.
    Frame(Frame),
    /// A frame whose data is larger than [`MAX_DATA_SIZE`]. Its data is skipped and the connection
    /// lives on; a server answers `ResourceExhausted` on the stream.
    TooLarge {
        /// The stream to answer on.
        stream: u32,
        /// The announced size in bytes.
        size: usize,
    },
}

/// Cuts a stream of bytes into frames.
///
/// Holds at most one frame and what was handed over with it.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Data of an oversized frame that is still to come.
    skip: usize,
}

impl Decoder {
    /// Takes bytes as they come.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        bytes = &bytes[skipped..];
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, or `None` until more bytes are fed.
    pub fn next_frame(&mut self) -> Option<Decoded> {
        let header = self.buffer.get(..HEADER_SIZE)?;
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let stream = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let (kind, flags) = (header[8], header[9]);
        if size > MAX_DATA_SIZE {
            let here = (self.buffer.len() - HEADER_SIZE).min(size);
            self.buffer.drain(..HEADER_SIZE + here);
            self.skip = size - here;
            return Some(Decoded::TooLarge { stream, size });
        }
        if self.buffer.len() < HEADER_SIZE + size {
            return None;
        }
        let data = self.buffer[HEADER_SIZE..HEADER_SIZE + size].to_vec();
        self.buffer.drain(..HEADER_SIZE + size);
        if self.buffer.is_empty() {
            // An idle connection keeps no memory.
            self.buffer = Vec::new();
        }
        Some(Decoded::Frame(Frame { stream, kind, flags, data }))
    }
}

/// Encodes a unary request.
///
/// # Errors
/// The encoded request is larger than [`MAX_DATA_SIZE`]; its size is returned.
pub fn encode_request(stream: u32, request: &Request) -> Result<Vec<u8>, usize> {
    encode(stream, KIND_REQUEST, request)
}

/// Encodes a response; one that is too large becomes a `ResourceExhausted` error.
pub fn encode_response(stream: u32, response: &Response) -> Vec<u8> {
    encode(stream, KIND_RESPONSE, response).unwrap_or_else(|size| {
        let text = format!("message length {size} exceed maximum message size of {MAX_DATA_SIZE}");
        encode(stream, KIND_RESPONSE, &Response::error(Code::ResourceExhausted, text)).unwrap_or_default()
    })
}

fn encode(stream: u32, kind: u8, message: &impl Message) -> Result<Vec<u8>, usize> {
    let size = message.encoded_len();
    if size > MAX_DATA_SIZE {
        return Err(size);
    }
    let mut bytes = Vec::with_capacity(HEADER_SIZE + size);
    bytes.extend_from_slice(&(size as u32).to_be_bytes());
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(&[kind, 0]);
    bytes.extend_from_slice(&message.encode_to_vec());
    Ok(bytes)
}

#[cfg(test)]
mod tests;
