//! Docker's `local` format: a protobuf `LogEntry` with its length (u32, big endian) before and behind.
//!
//! LogEntry: 1 source, 2 time_nano, 3 line (without newline), 4 partial, 5 {1 last, 2 id, 3 ordinal}.

use std::collections::BTreeMap;

use crate::codec::Piece;
use crate::entry::{Entry, Stream};
use crate::lines::End;
use crate::timestamp::Timestamp;

/// Longer records are damage: a piece has at most 16 KiB and a few fields.
const MAX_RECORD: usize = 1 << 20;

pub(crate) fn encode(out: &mut Vec<u8>, stream: Stream, time: Timestamp, piece: Piece<'_>) {
    let mut body = Vec::with_capacity(piece.log.len() + 48);
    bytes_field(&mut body, 1, stream.name().as_bytes());
    varint_field(&mut body, 2, time.as_nanos() as u64);
    bytes_field(&mut body, 3, piece.text());
    let cut = piece.end == End::Cut;
    if cut || piece.ordinal > 0 {
        // A line's id: its first piece's time, which all its pieces carry.
        let mut meta = Vec::new();
        varint_field(&mut meta, 1, u64::from(!cut));
        bytes_field(&mut meta, 2, format!("{:016x}", time.as_nanos()).as_bytes());
        varint_field(&mut meta, 3, u64::from(piece.ordinal) + 1);
        varint_field(&mut body, 4, 1);
        bytes_field(&mut body, 5, &meta);
    }
    let length = (body.len() as u32).to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&body);
    out.extend_from_slice(&length);
}

pub(crate) fn record_len(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let whole = length.min(MAX_RECORD) + 8;
    (bytes.len() >= whole).then_some(whole)
}

pub(crate) fn decode(record: &[u8]) -> Option<Entry> {
    let (head, rest) = record.split_at_checked(4)?;
    let (mut body, tail) = rest.split_at_checked(rest.len().checked_sub(4)?)?;
    if head != tail {
        return None;
    }
    let (mut stream, mut nanos, mut log, mut partial, mut last) =
        (Stream::Stdout, 0, Vec::new(), false, false);
    while !body.is_empty() {
        match field(&mut body)? {
            (1, Value::Bytes(name)) => stream = Stream::from_name(name)?,
            (2, Value::Number(number)) => nanos = number as i64,
            (3, Value::Bytes(text)) => log = text.to_vec(),
            (4, Value::Number(number)) => partial = number != 0,
            (5, Value::Bytes(mut meta)) => {
                while !meta.is_empty() {
                    if let (1, Value::Number(number)) = field(&mut meta)? {
                        last = number != 0;
                    }
                }
            }
            _ => {}
        }
    }
    if !partial || last {
        log.push(b'\n');
    }
    Some(Entry { log, stream, time: Timestamp::from_nanos(nanos), attrs: BTreeMap::new() })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn field<'a>(body: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = varint(body)?;
    match key & 7 {
        0 => Some((key >> 3, Value::Number(varint(body)?))),
        2 => {
            let length = usize::try_from(varint(body)?).ok()?;
            let (value, rest) = body.split_at_checked(length)?;
            *body = rest;
            Some((key >> 3, Value::Bytes(value)))
        }
        _ => None,
    }
}

fn varint(body: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = body.split_first()?;
        *body = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_field(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number << 3);
    put_varint(out, value);
}

fn bytes_field(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_damage_is_noticed() {
        let mut out = Vec::new();
        let time = Timestamp::from_nanos(1_795_531_158_293_581_067);
        encode(&mut out, Stream::Stderr, time, Piece { log: b"hi\n", end: End::Newline, ordinal: 0 });
        assert_eq!(record_len(&out), Some(out.len()));
        assert_eq!(record_len(&out[..out.len() - 1]), None);
        let entry = decode(&out).expect("own record");
        assert_eq!(
            (entry.log.as_slice(), entry.stream, entry.time),
            (b"hi\n".as_slice(), Stream::Stderr, time)
        );
        out[0] ^= 1;
        assert_eq!(decode(&out), None);
    }

    #[test]
    fn only_the_last_piece_of_a_cut_line_gets_its_newline_back() {
        let decoded = |end, ordinal| {
            let mut out = Vec::new();
            encode(&mut out, Stream::Stdout, Timestamp::from_nanos(9), Piece { log: b"x", end, ordinal });
            decode(&out).expect("own record").log
        };
        assert_eq!(decoded(End::Cut, 0), b"x");
        assert_eq!(decoded(End::Newline, 1), b"x\n");
    }
}
