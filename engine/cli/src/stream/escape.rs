//! Detach keys: `ctrl-p,ctrl-q` and the like, looked for in what is typed.

use anyhow::bail;

/// Finds the keys in a stream of input, withholding what may become them.
pub(super) struct Escape {
    keys: Vec<u8>,
    matched: usize,
}

/// What to do with a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Pass(Vec<u8>),
    /// The keys were typed; these bytes came before them.
    Detach(Vec<u8>),
}

impl Escape {
    /// No keys: everything passes.
    pub(super) fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    pub(super) fn feed(&mut self, input: &[u8]) -> Step {
        if self.keys.is_empty() {
            return Step::Pass(input.to_vec());
        }
        let mut out = Vec::with_capacity(input.len());
        for &byte in input {
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return Step::Detach(out);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(byte == self.keys[0]);
            if self.matched == 0 {
                out.push(byte);
            }
        }
        Step::Pass(out)
    }
}

/// `ctrl-x,y` to bytes.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut keys = Vec::new();
    for key in text.split(',') {
        let byte = match (key.strip_prefix("ctrl-"), key.as_bytes()) {
            (Some(rest), _) => match rest.as_bytes() {
                [c @ b'a'..=b'z'] => c - b'a' + 1,
                [b'@'] => 0,
                [c @ (b'[' | b'\\' | b']' | b'^' | b'_')] => c - b'@',
                _ => bail!("Invalid detach keys ({text}) provided"),
            },
            (None, [c]) => *c,
            _ => bail!("Invalid detach keys ({text}) provided"),
        };
        keys.push(byte);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_across_pieces_and_false_starts_pass() {
        let mut escape = Escape::new(parse("ctrl-p,ctrl-q").unwrap());
        assert_eq!(escape.feed(b"a\x10"), Step::Pass(b"a".to_vec()));
        assert_eq!(escape.feed(b"b\x10"), Step::Pass(b"\x10b".to_vec()));
        assert_eq!(escape.feed(b"\x10"), Step::Pass(b"\x10".to_vec()));
        assert_eq!(escape.feed(b"\x11zzz"), Step::Detach(vec![]));
    }

    #[test]
    fn broken_keys_are_refused() {
        assert!(parse("bogus").is_err() && parse("ctrl-").is_err());
        assert_eq!(parse("ctrl-x,y").unwrap(), [24, b'y']);
    }
}
