//! Ids: 64 random hex digits, shown as their first twelve.

use rand::Rng as _;

/// A new id for a container, exec, network or anonymous volume.
pub fn random() -> String {
    let mut bytes = [0u8; 32];
    loop {
        rand::rng().fill_bytes(&mut bytes);
        let id = hex::encode(bytes);
        // A short id of digits alone would read as a number (as a host name, or in YAML).
        if id[..12].bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return id;
        }
    }
}

/// The first twelve digits.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Says whether `text` is a whole id.
pub fn is_full(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_whole_and_differ() {
        let (a, b) = (random(), random());
        assert!(is_full(&a) && is_full(&b) && a != b);
        assert_eq!(short(&a).len(), 12);
    }
}
