//! Whiteouts: how a layer says that something of the layers below is gone.

/// Prefix of a whiteout's name.
pub(crate) const PREFIX: &[u8] = b".wh.";
/// Prefix of aufs' own bookkeeping, which means nothing here.
pub(crate) const META_PREFIX: &[u8] = b".wh..wh.";
/// Name of the mark that hides all that is below a directory.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// overlayfs' mark for the same.
pub(crate) const OVERLAY_OPAQUE: &str = "trusted.overlay.opaque";

/// What whiteouts become when a layer is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhiteoutForm {
    /// overlayfs' own: a character device 0/0, and an attribute on opaque directories. The layer is
    /// alone in its directory.
    Overlay,
    /// The hidden files are removed: the directory holds the layers below.
    Removal,
}

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// An ordinary file.
    Ordinary,
    /// This name is gone.
    Gone(&'a [u8]),
    /// Everything below this directory is hidden.
    Opaque,
    /// To be ignored.
    Bookkeeping,
}

/// What the last component of an entry's name says.
pub(crate) fn meaning(name: &[u8]) -> Meaning<'_> {
    if name == OPAQUE {
        return Meaning::Opaque;
    }
    if name.starts_with(META_PREFIX) {
        return Meaning::Bookkeeping;
    }
    match name.strip_prefix(PREFIX) {
        None => Meaning::Ordinary,
        // `.wh.`, `.wh..` and `.wh...` would hide the directory itself or what holds it.
        Some(b"" | b"." | b"..") => Meaning::Bookkeeping,
        Some(hidden) => Meaning::Gone(hidden),
    }
}
