//! Docker's json-file format.
//!
//! `{"log":"text\n","stream":"stdout","attrs":{"k":"v"},"time":"2026-11-24T14:39:18.293581067Z"}` and a
//! newline; bytes that are no UTF-8 become U+FFFD, as Docker does it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::entry::{Entry, Stream};
use crate::timestamp::Timestamp;

/// The `"attrs":{…},` part that goes into every line; empty without attributes.
pub(crate) fn encode_attrs(attrs: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Vec::new();
    if attrs.is_empty() {
        return out;
    }
    out.extend_from_slice(b"\"attrs\":{");
    for (index, (key, value)) in attrs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(&mut out, key.as_bytes());
        out.push(b':');
        string(&mut out, value.as_bytes());
    }
    out.extend_from_slice(b"},");
    out
}

pub(crate) fn encode(out: &mut Vec<u8>, stream: Stream, time: Timestamp, log: &[u8], attrs: &[u8]) {
    out.extend_from_slice(b"{\"log\":");
    string(out, log);
    out.extend_from_slice(b",\"stream\":\"");
    out.extend_from_slice(stream.name().as_bytes());
    out.extend_from_slice(b"\",");
    out.extend_from_slice(attrs);
    out.extend_from_slice(b"\"time\":\"");
    out.extend_from_slice(time.to_string().as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// A JSON string with Go's HTML escaping.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        let mut plain = 0;
        let text = chunk.valid();
        for (at, character) in text.char_indices() {
            let escape: Cow<'static, str> = match character {
                '"' => "\\\"".into(),
                '\\' => "\\\\".into(),
                '\n' => "\\n".into(),
                '\r' => "\\r".into(),
                '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => {
                    format!("\\u{:04x}", u32::from(character)).into()
                }
                _ => continue,
            };
            out.extend_from_slice(&text.as_bytes()[plain..at]);
            out.extend_from_slice(escape.as_bytes());
            plain = at + character.len_utf8();
        }
        out.extend_from_slice(&text.as_bytes()[plain..]);
        chunk.invalid().iter().for_each(|_| out.extend_from_slice(b"\\ufffd"));
    }
    out.push(b'"');
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
}

pub(crate) fn decode(record: &[u8]) -> Option<Entry> {
    let line: Line<'_> = serde_json::from_slice(record).ok()?;
    Some(Entry {
        log: line.log.into_owned().into_bytes(),
        stream: Stream::from_name(line.stream.as_bytes()).unwrap_or(Stream::Stdout),
        time: Timestamp::parse(&line.time)?,
        attrs: line.attrs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(log: &[u8], attrs: &BTreeMap<String, String>) -> String {
        let mut out = Vec::new();
        let time = Timestamp::from_parts(1_795_531_158, 293_581_067);
        encode(&mut out, Stream::Stdout, time, log, &encode_attrs(attrs));
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn a_line_is_what_docker_writes() {
        assert_eq!(
            line(b"out1\n", &BTreeMap::new()),
            "{\"log\":\"out1\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-24T14:39:18.293581067Z\"}\n"
        );
        let attrs = BTreeMap::from([("tag".to_owned(), "rot".to_owned()), ("k".to_owned(), "v".to_owned())]);
        assert!(line(b"x", &attrs).contains(r#""stream":"stdout","attrs":{"k":"v","tag":"rot"},"time""#));
    }

    #[test]
    fn html_control_and_broken_characters_are_escaped() {
        let written = line(b"<b>&\t\x1b\"\\\xff\xe2\x80\xa8\r\n", &BTreeMap::new());
        assert!(
            written.contains(r#""log":"\u003cb\u003e\u0026\u0009\u001b\"\\\ufffd\u2028\r\n""#),
            "{written}"
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        let entry = decode(line("a<€\u{1f600}\n".as_bytes(), &BTreeMap::new()).as_bytes()).expect("own line");
        assert_eq!(entry.log, "a<€\u{1f600}\n".as_bytes());
        assert_eq!((entry.stream, entry.time.as_nanos()), (Stream::Stdout, 1_795_531_158_293_581_067));
        assert_eq!(decode(b"{\"log\":\"x"), None);
    }
}
