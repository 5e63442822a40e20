//! From bytes as they come to lines.

/// Longest piece of a line, in bytes; longer lines are cut, at a character's start where there is one.
pub const MAX_LINE: usize = 16 * 1024;

/// How a piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the newline.
    Newline,
    /// Cut: the line goes on.
    Cut,
    /// The stream was closed in mid-line.
    Eof,
}

/// The unfinished line of one stream.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    pending: Vec<u8>,
}

impl LineBuffer {
    /// What is held back for want of a newline.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Takes bytes; calls `emit(piece, end)` for each whole line (newline included) or full piece.
    pub(crate) fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        mut emit: impl FnMut(&[u8], End) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let room = MAX_LINE - self.pending.len();
            // A newline right behind a full piece belongs to it.
            let newline = bytes.iter().take(room + 1).position(|b| *b == b'\n');
            if let Some(at) = newline {
                let line = &bytes[..=at];
                bytes = &bytes[at + 1..];
                if self.pending.is_empty() {
                    emit(line, End::Newline)?;
                } else {
                    let mut whole = std::mem::take(&mut self.pending);
                    whole.extend_from_slice(line);
                    emit(&whole, End::Newline)?;
                }
            } else if bytes.len() > room {
                self.pending.extend_from_slice(&bytes[..room]);
                bytes = &bytes[room..];
                let mut piece = std::mem::take(&mut self.pending);
                self.pending = piece.split_off(cut_point(&piece));
                emit(&piece, End::Cut)?;
            } else {
                self.pending.extend_from_slice(bytes);
                break;
            }
        }
        Ok(())
    }

    /// The stream is closed: gives out what is left, without a newline.
    pub(crate) fn finish<E>(&mut self, emit: impl FnOnce(&[u8], End) -> Result<(), E>) -> Result<(), E> {
        let rest = std::mem::take(&mut self.pending);
        if rest.is_empty() { Ok(()) } else { emit(&rest, End::Eof) }
    }
}

/// Where to cut a full piece: before a UTF-8 character that isn't complete, else at its end.
fn cut_point(piece: &[u8]) -> usize {
    for back in 1..=3.min(piece.len().saturating_sub(1)) {
        let at = piece.len() - back;
        let wanted = match piece[at] {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            0x80..=0xBF => continue,
            _ => break,
        };
        return if wanted > back { at } else { piece.len() };
    }
    piece.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(chunks: &[&[u8]]) -> Vec<(usize, End)> {
        let (mut buffer, mut out) = (LineBuffer::default(), Vec::new());
        for chunk in chunks {
            buffer
                .feed(chunk, |p, e| -> Result<(), ()> {
                    out.push((p.len(), e));
                    Ok(())
                })
                .expect("emit never fails");
        }
        buffer
            .finish(|p, e| -> Result<(), ()> {
                out.push((p.len(), e));
                Ok(())
            })
            .expect("emit never fails");
        out
    }

    #[test]
    fn text_and_newline_written_apart_are_one_line() {
        assert_eq!(run(&[b"ab", b"c\nd\n"]), [(4, End::Newline), (2, End::Newline)]);
    }

    #[test]
    fn a_line_of_16384_bytes_is_one_piece_and_one_more_is_cut() {
        let mut line = vec![b'x'; MAX_LINE];
        line.push(b'\n');
        assert_eq!(run(&[&line]), [(MAX_LINE + 1, End::Newline)]);
        line.insert(0, b'x');
        assert_eq!(run(&[&line]), [(MAX_LINE, End::Cut), (2, End::Newline)]);
    }

    #[test]
    fn the_last_line_needs_no_newline() {
        assert_eq!(run(&[b"a\nbc"]), [(2, End::Newline), (2, End::Eof)]);
    }

    #[test]
    fn a_character_across_the_cut_stays_whole() {
        let mut line = vec![b'x'; MAX_LINE - 1];
        line.extend("€\n".bytes());
        assert_eq!(run(&[&line]), [(MAX_LINE - 1, End::Cut), (4, End::Newline)]);
    }
}
