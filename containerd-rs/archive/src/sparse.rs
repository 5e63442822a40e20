//! Where the data of a sparse file goes, in GNU's four ways of saying it.

use std::io::Read;

use crate::error::{ArchiveError, Result};
use crate::header::{BLOCK, RawHeader, number};
use crate::input::read_exact;
use crate::limits::Limits;
use crate::pax::{SparseRecords, decimal};

/// The map of an old GNU sparse entry (type `S`): four segments in the header, 21 in each block
/// that follows. Returns the file's size and the segments.
pub(crate) fn old_gnu(
    header: &RawHeader<'_>,
    input: &mut impl Read,
    limits: &Limits,
) -> Result<(u64, Vec<(u64, u64)>)> {
    let block = header.block();
    let mut segments = Vec::new();
    let unsigned = |field: &[u8]| number(field).and_then(|n| u64::try_from(n).ok()).ok_or_else(bad);
    let size = unsigned(&block[483..495])?;
    take_pairs(&block[386..482], &mut segments)?;
    let mut more = block[482] != 0;
    while more {
        if segments.len() as u64 > limits.segments {
            return Err(ArchiveError::Limit { what: "segments of a sparse file", limit: limits.segments });
        }
        let mut extension = [0; BLOCK];
        read_exact(input, &mut extension, b"a sparse map")?;
        take_pairs(&extension[..504], &mut segments)?;
        more = extension[504] != 0;
    }
    Ok((size, segments))
}

fn take_pairs(fields: &[u8], segments: &mut Vec<(u64, u64)>) -> Result<()> {
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let part = |field: &[u8]| number(field).and_then(|n| u64::try_from(n).ok()).ok_or_else(bad);
        segments.push((part(&pair[..12])?, part(&pair[12..])?));
    }
    Ok(())
}

/// The map that PAX records of the formats 0.0 and 0.1 gave.
pub(crate) fn from_records(records: &SparseRecords, limits: &Limits) -> Result<Vec<(u64, u64)>> {
    let numbers = records.map.as_deref().unwrap_or_default();
    if !numbers.len().is_multiple_of(2) {
        return Err(bad());
    }
    if numbers.len() as u64 / 2 > limits.segments {
        return Err(ArchiveError::Limit { what: "segments of a sparse file", limit: limits.segments });
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// The map of format 1.0: decimal lines at the start of the data, padded to a block. Returns the
/// segments and how many bytes of the data the map took.
pub(crate) fn from_data(
    input: &mut impl Read,
    stored: u64,
    limits: &Limits,
) -> Result<(Vec<(u64, u64)>, u64)> {
    let mut taken = 0;
    let mut text: Vec<u8> = Vec::new();
    let mut wanted = None;
    loop {
        let lines = text.iter().filter(|&&b| b == b'\n').count() as u64;
        if wanted.is_none() && lines > 0 {
            let first = text.split(|&b| b == b'\n').next().unwrap_or_default();
            let count = decimal(first).ok_or_else(bad)?;
            if count > limits.segments {
                return Err(ArchiveError::Limit {
                    what: "segments of a sparse file",
                    limit: limits.segments,
                });
            }
            wanted = Some(1 + 2 * count);
        }
        if wanted.is_some_and(|wanted| lines >= wanted) {
            break;
        }
        if taken + BLOCK as u64 > stored || text.len() as u64 > 64 * (limits.segments + 1) {
            return Err(bad());
        }
        let mut block = [0; BLOCK];
        read_exact(input, &mut block, b"a sparse map")?;
        text.extend_from_slice(&block);
        taken += BLOCK as u64;
    }
    let count = wanted.unwrap_or(1) as usize;
    let numbers: Vec<u64> = text
        .split(|&b| b == b'\n')
        .take(count)
        .skip(1)
        .map(decimal)
        .collect::<Option<_>>()
        .ok_or_else(bad)?;
    Ok((numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(), taken))
}

/// Checks that segments ascend within the file and add up to the data that is stored.
pub(crate) fn check(segments: &[(u64, u64)], size: u64, stored: u64) -> Result<()> {
    let (mut end, mut data) = (0_u64, 0_u64);
    for &(offset, length) in segments {
        if offset < end {
            return Err(bad());
        }
        end = offset.checked_add(length).filter(|&end| end <= size).ok_or_else(bad)?;
        data += length;
    }
    if data == stored { Ok(()) } else { Err(bad()) }
}

fn bad() -> ArchiveError {
    ArchiveError::Malformed("sparse map".to_owned())
}
