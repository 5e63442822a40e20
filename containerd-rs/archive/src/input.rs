//! Reading what must be there.

use std::io::{self, Read};

use crate::error::{ArchiveError, Result, show};

/// Fills `buffer`; an archive that ends before is truncated in `what`.
pub(crate) fn read_exact(input: &mut impl Read, buffer: &mut [u8], what: &[u8]) -> Result<()> {
    input.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Truncated(show(what)),
        _ => ArchiveError::Read(error),
    })
}
