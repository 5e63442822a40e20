//! Tar archives made by hand, with the entries that no honest tool writes.

/// One entry. Type flags are POSIX's: `0` file, `1` hard link, `2` symlink, `5` directory.
#[derive(Clone, Copy, Debug)]
pub struct TarEntry<'a> {
    /// Path as it stands in the header.
    pub name: &'a str,
    /// Type flag.
    pub kind: u8,
    /// Target of a link.
    pub link: &'a str,
    /// A file's bytes.
    pub data: &'a [u8],
    /// Size as the header tells it; none for the true one.
    pub claimed: Option<u64>,
}

impl<'a> TarEntry<'a> {
    /// A file.
    pub fn file(name: &'a str, data: &'a [u8]) -> Self {
        Self { name, kind: b'0', link: "", data, claimed: None }
    }

    /// A directory.
    pub fn directory(name: &'a str) -> Self {
        Self { kind: b'5', ..Self::file(name, b"") }
    }

    /// A symlink.
    pub fn symlink(name: &'a str, link: &'a str) -> Self {
        Self { kind: b'2', link, ..Self::file(name, b"") }
    }

    /// A hard link.
    pub fn hard_link(name: &'a str, link: &'a str) -> Self {
        Self { kind: b'1', link, ..Self::file(name, b"") }
    }
}

/// An archive of these entries, with its end mark.
pub fn tar(entries: &[TarEntry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, &entry.name.as_bytes()[..entry.name.len().min(100)]);
        put(100, b"0000755\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        let size = entry.claimed.unwrap_or(entry.data.len() as u64);
        put(124, format!("{size:011o}\0").as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[entry.kind]);
        put(157, &entry.link.as_bytes()[..entry.link.len().min(100)]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(entry.data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}
