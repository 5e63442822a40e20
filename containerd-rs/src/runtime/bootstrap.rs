//! How a shim says that it is to be talked to.

use prost::Message;
use proto::containerd::runtime::bootstrap::v1::BootstrapResult;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// What a shim's `start` answered: how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bootstrap {
    /// Version of the task service.
    pub(super) version: u32,
    /// `unix://` and a path.
    pub(super) address: String,
    /// ttrpc or grpc.
    pub(super) protocol: String,
}

impl Bootstrap {
    /// Parses an answer: protobuf (containerd 2.3 on), JSON (1.7 on) or a bare address.
    pub(super) fn parse(output: &[u8]) -> Result<Self> {
        // The bytes as they are: white space means something in protobuf.
        if let Ok(result) = BootstrapResult::decode(output)
            && !result.address.is_empty()
            && let Ok(version) = result.version.try_into()
        {
            return Ok(Self { version, address: result.address, protocol: result.protocol });
        }
        let text = std::str::from_utf8(output).map(str::trim).unwrap_or_default();
        if text.starts_with('{') {
            return serde_json::from_str(text)
                .map_err(|error| Error::caused(format!("read the shim's answer {text:?}"), error));
        }
        if text.is_empty() || text.contains(char::is_whitespace) {
            let shown = String::from_utf8_lossy(output);
            return Err(Error::new(Kind::Unknown, format!("the shim's answer is no address: {shown:?}")));
        }
        Ok(Self { version: 2, address: text.to_owned(), protocol: "ttrpc".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_start_answer_are_understood() {
        let wanted = |version| Bootstrap { version, address: "unix:///s".into(), protocol: "ttrpc".into() };
        let protobuf = BootstrapResult {
            version: 3,
            address: "unix:///s".into(),
            protocol: "ttrpc".into(),
            ..BootstrapResult::default()
        };
        assert_eq!(Bootstrap::parse(&protobuf.encode_to_vec()).expect("protobuf"), wanted(3));
        let json = br#" {"version":2,"address":"unix:///s","protocol":"ttrpc"}"#;
        assert_eq!(Bootstrap::parse(json).expect("JSON"), wanted(2));
        assert_eq!(Bootstrap::parse(b"unix:///s\n").expect("bare"), wanted(2));
    }

    #[test]
    fn rubbish_is_no_address() {
        for output in [&b""[..], b"two words", b"{\"version\":", b"\xff\xfe"] {
            assert!(Bootstrap::parse(output).is_err(), "{output:?}");
        }
    }
}
