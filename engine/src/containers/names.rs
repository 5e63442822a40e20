//! Names of containers: checked, or made up.

use rand::seq::IndexedRandom as _;

use crate::error::{Error, Result};

const ADJECTIVES: &[&str] = &[
    "amber", "brave", "bright", "calm", "clever", "cosy", "curious", "daring", "eager", "early", "fair",
    "fluent", "fond", "frosty", "gentle", "glad", "golden", "happy", "honest", "humble", "jolly", "keen",
    "kind", "lively", "lucky", "mellow", "merry", "mild", "neat", "noble", "patient", "plucky", "polite",
    "proud", "quick", "quiet", "rapid", "rosy", "serene", "sharp", "silent", "sleepy", "smart", "snug",
    "solid", "steady", "sunny", "swift", "tidy", "trusty", "vivid", "warm", "wise", "witty", "young",
    "zesty",
];
const SURNAMES: &[&str] = &[
    "agnesi",
    "babbage",
    "bell",
    "bohr",
    "boole",
    "bose",
    "brahe",
    "carson",
    "cerf",
    "chandrasekhar",
    "church",
    "clarke",
    "cori",
    "curie",
    "darwin",
    "dijkstra",
    "dirac",
    "easley",
    "einstein",
    "erdos",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "franklin",
    "galileo",
    "galois",
    "gauss",
    "goldberg",
    "goodall",
    "hamilton",
    "hawking",
    "heisenberg",
    "hertz",
    "hopper",
    "hypatia",
    "jemison",
    "johnson",
    "kepler",
    "khorana",
    "knuth",
    "kovalevskaya",
    "lamarr",
    "leakey",
    "lovelace",
    "maxwell",
    "mayer",
    "meitner",
    "mendel",
    "mirzakhani",
    "moore",
    "nash",
    "newton",
    "nobel",
    "noether",
    "pascal",
    "pasteur",
    "perlman",
    "planck",
    "ramanujan",
    "ritchie",
    "rubin",
    "shannon",
    "swartz",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "wiles",
    "wright",
    "wu",
    "yalow",
];

/// Checks a name as given; answers it without its slash.
///
/// # Errors
/// 400 in docker's words.
pub fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = bare.bytes();
    let good = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bare.len() > 1
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if good {
        Ok(bare)
    } else {
        Err(Error::invalid(format!(
            "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )))
    }
}

/// A name that `is_free`.
pub fn make_up(is_free: impl Fn(&str) -> bool) -> String {
    let mut rng = rand::rng();
    let mut pick = || {
        let adjective = ADJECTIVES.choose(&mut rng).copied().unwrap_or("calm");
        format!("{adjective}_{}", SURNAMES.choose(&mut rng).copied().unwrap_or("curie"))
    };
    for _ in 0..8 {
        let name = pick();
        if is_free(&name) {
            return name;
        }
    }
    let base = pick();
    (0u64..).map(|number| format!("{base}{number}")).find(|name| is_free(name)).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_in_dockers_words() {
        assert_eq!(check("/web-1.a_b").expect("good"), "web-1.a_b");
        for bad in ["-bad", "a", "", "/!", "a b", "ä1"] {
            let text = check(bad).expect_err(bad).to_string();
            assert_eq!(
                text,
                format!("Invalid container name ({bad}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
            );
        }
    }

    #[test]
    fn made_up_names_are_valid_and_free() {
        let name = make_up(|_| true);
        assert_eq!(check(&name).expect("valid"), name);
        let numbered = make_up(|name| name.ends_with('3'));
        assert!(numbered.ends_with('3'));
    }
}
