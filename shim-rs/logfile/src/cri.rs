//! The kubelet's format: `2026-11-24T14:39:18.293581067Z stdout F text`, `P` for a piece of a line.

use std::collections::BTreeMap;

use crate::codec::Piece;
use crate::entry::{Entry, Stream};
use crate::lines::End;
use crate::timestamp::Timestamp;

pub(crate) fn encode(out: &mut Vec<u8>, stream: Stream, time: Timestamp, piece: Piece<'_>) {
    let tag = if piece.end == End::Cut { " P " } else { " F " };
    for part in [time.fixed().as_bytes(), b" ", stream.name().as_bytes(), tag.as_bytes(), piece.text(), b"\n"]
    {
        out.extend_from_slice(part);
    }
}

/// The newline of a whole line is given back; whether a last line really had one isn't recorded.
pub(crate) fn decode(record: &[u8]) -> Option<Entry> {
    let mut parts = record.strip_suffix(b"\n")?.splitn(4, |b| *b == b' ');
    let time = Timestamp::parse(std::str::from_utf8(parts.next()?).ok()?)?;
    let stream = Stream::from_name(parts.next()?)?;
    let tags = parts.next()?;
    let mut log = parts.next()?.to_vec();
    if tags.split(|b| *b == b':').next() != Some(b"P") {
        log.push(b'\n');
    }
    Some(Entry { log, stream, time, attrs: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_tagged_p_and_whole_lines_f() {
        let mut out = Vec::new();
        let time = Timestamp::from_nanos(5);
        encode(&mut out, Stream::Stderr, time, Piece { log: b"a b", end: End::Cut, ordinal: 0 });
        encode(&mut out, Stream::Stderr, time, Piece { log: b"c\n", end: End::Newline, ordinal: 1 });
        assert_eq!(
            String::from_utf8_lossy(&out),
            "1970-01-01T00:00:00.000000005Z stderr P a b\n1970-01-01T00:00:00.000000005Z stderr F c\n"
        );
        let first = decode(&out[..out.len() / 2 + 1]).expect("own line");
        assert_eq!((first.log.as_slice(), first.stream), (b"a b".as_slice(), Stream::Stderr));
    }
}
