//! Platforms: `os[/architecture[/variant]]`, normalised, and which image suits which machine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image was made for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Go's name of the processor, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Go's name of the system, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// Version of the system (Windows).
    #[serde(default, rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Needed features of the system (Windows).
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the processor, such as `v7`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// Why a text names no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// A part is empty, or holds other characters than letters, digits, `_`, `.` and `-`.
    #[error("{0:?}: invalid component in platform: must match [A-Za-z0-9_.-]+")]
    Component(String),
    /// One word that is neither a known system nor a known processor.
    #[error("{0:?}: unknown operating system or architecture")]
    Unknown(String),
    /// More than three parts.
    #[error("{0:?}: cannot parse platform specifier")]
    Parts(String),
}

const SYSTEMS: [&str; 6] = ["linux", "windows", "darwin", "freebsd", "wasi", "wasip1"];
const PROCESSORS: [&str; 14] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
    "riscv64", "s390x", "wasm",
];

impl Platform {
    /// A platform from its names, normalised.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let platform = Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            ..Self::default()
        };
        platform.normalized()
    }

    /// This machine.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, "")
    }

    /// The same in canonical names: `x86_64` is `amd64`, 32-bit arm is `v7` unless it says otherwise,
    /// `v8` goes without saying.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        self.os = match self.os.to_ascii_lowercase().as_str() {
            "" => "linux".to_owned(),
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let variant = self.variant.to_ascii_lowercase();
        let (architecture, variant) = match self.architecture.to_ascii_lowercase().as_str() {
            "i386" => ("386".to_owned(), String::new()),
            "x86_64" | "x86-64" | "amd64" => {
                ("amd64".to_owned(), if variant == "v1" { String::new() } else { variant })
            }
            "aarch64" | "arm64" => (
                "arm64".to_owned(),
                if matches!(variant.as_str(), "8" | "v8") { String::new() } else { variant },
            ),
            "armhf" => ("arm".to_owned(), "v7".to_owned()),
            "armel" => ("arm".to_owned(), "v6".to_owned()),
            "arm" => {
                let variant = match variant.as_str() {
                    "" | "7" => "v7".to_owned(),
                    "5" | "6" | "8" => format!("v{variant}"),
                    _ => variant,
                };
                ("arm".to_owned(), variant)
            }
            other => (other.to_owned(), variant),
        };
        self.architecture = architecture;
        self.variant = variant;
        self
    }

    /// The platforms whose images run here, best first: older variants, and the 32-bit kin.
    fn accepted(&self) -> Vec<(String, String)> {
        let pair = |architecture: &str, variant: &str| (architecture.to_owned(), variant.to_owned());
        let arm =
            |highest: u32| (5..=highest).rev().map(|n| pair("arm", &format!("v{n}"))).collect::<Vec<_>>();
        let number = self.variant.strip_prefix('v').and_then(|n| n.parse::<u32>().ok());
        match (self.architecture.as_str(), number) {
            ("amd64", level) => {
                let mut accepted: Vec<_> =
                    (2..=level.unwrap_or(1).min(9)).rev().map(|n| pair("amd64", &format!("v{n}"))).collect();
                accepted.push(pair("amd64", ""));
                accepted.push(pair("386", ""));
                accepted
            }
            ("arm", Some(highest)) => arm(highest.min(9)),
            ("arm64", None) => [vec![pair("arm64", "")], arm(8)].concat(),
            _ => vec![pair(&self.architecture, &self.variant)],
        }
    }

    /// How well an image made for `image` suits this machine: 0 is best, none is not at all.
    pub fn rank(&self, image: &Self) -> Option<usize> {
        let image = image.clone().normalized();
        if image.os != self.os {
            return None;
        }
        self.accepted().into_iter().position(|(architecture, variant)| {
            architecture == image.architecture && variant == image.variant
        })
    }

    /// Whether both are the same after normalising; the system's version and features aside.
    pub fn is(&self, other: &Self) -> bool {
        let [a, b] = [self.clone().normalized(), other.clone().normalized()];
        (a.os, a.architecture, a.variant) == (b.os, b.architecture, b.variant)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        for part in &parts {
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            if part.is_empty() || !part.bytes().all(good) {
                return Err(PlatformError::Component(text.to_owned()));
            }
        }
        match parts[..] {
            [word] => {
                let as_system = Self::new(word, std::env::consts::ARCH, "");
                if SYSTEMS.contains(&as_system.os.as_str()) {
                    return Ok(as_system);
                }
                let as_processor = Self::new("linux", word, "");
                if PROCESSORS.contains(&as_processor.architecture.as_str()) {
                    return Ok(as_processor);
                }
                Err(PlatformError::Unknown(text.to_owned()))
            }
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(PlatformError::Parts(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Platform {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn names_are_normalised() {
        let cases = [
            ("linux/x86_64", "linux/amd64"),
            ("amd64", "linux/amd64"),
            ("Linux/AArch64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("linux/arm/6", "linux/arm/v6"),
            ("windows/amd64", "windows/amd64"),
        ];
        for (text, normal) in cases {
            assert_eq!(parse(text).to_string(), normal, "{text}");
        }
        assert_eq!(parse("linux").os, "linux");
        for bad in ["", "linux/", "a/b/c/d", "nosuch", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn older_variants_suit_and_foreign_processors_do_not() {
        let arm7 = parse("linux/arm/v7");
        assert_eq!(arm7.rank(&parse("linux/arm/v7")), Some(0));
        assert_eq!(arm7.rank(&parse("linux/arm/v5")), Some(2));
        assert_eq!(arm7.rank(&parse("linux/arm/v8")), None);
        let amd64 = parse("linux/amd64");
        assert_eq!(amd64.rank(&parse("linux/amd64")), Some(0));
        assert_eq!(amd64.rank(&parse("linux/386")), Some(1));
        assert_eq!(amd64.rank(&parse("linux/arm64")), None);
        assert_eq!(amd64.rank(&parse("windows/amd64")), None);
        assert!(parse("linux/arm64").rank(&parse("linux/arm64/v8")) == Some(0));
    }
}
