//! How much an archive may ask for.

/// Bounds that are checked before memory or disk is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most entries.
    pub entries: u64,
    /// Most bytes of all files together, holes included.
    pub size: u64,
    /// Longest name or link target, in bytes.
    pub name: u64,
    /// Largest block of PAX records or GNU long name of one entry, in bytes.
    pub records: u64,
    /// Most data segments of one sparse file.
    pub segments: u64,
}

impl Default for Limits {
    /// Four million entries, a tebibyte of files, names as long as the kernel takes (4096 bytes),
    /// a mebibyte of records, 65,536 segments.
    fn default() -> Self {
        Self { entries: 4_000_000, size: 1 << 40, name: 4096, records: 1 << 20, segments: 1 << 16 }
    }
}
