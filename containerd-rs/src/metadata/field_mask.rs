//! Field masks: which fields an update means.

use prost_types::FieldMask;

use super::labels::{self, Labels};

/// One path of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path<'a> {
    /// A field as a whole.
    Field(&'a str),
    /// One entry of a map field; the key is literal and may hold dots and slashes.
    Entry(&'a str, &'a str),
}

/// The paths of a mask; none means all fields that may change.
pub fn paths(mask: Option<&FieldMask>) -> Vec<Path<'_>> {
    let paths = mask.map_or(&[][..], |mask| mask.paths.as_slice());
    paths
        .iter()
        .map(|path| path.split_once('.').map_or(Path::Field(path), |(f, key)| Path::Entry(f, key)))
        .collect()
}

/// The text of a path, as the client wrote it.
impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(field) => f.write_str(field),
            Self::Entry(field, key) => write!(f, "{field}.{key}"),
        }
    }
}

/// Updates labels of records whose labels are all that may change. Returns the first path that
/// names something else.
pub fn update_labels<'a>(current: &mut Labels, new: &Labels, paths: &[Path<'a>]) -> Option<Path<'a>> {
    if paths.is_empty() {
        current.clone_from(new);
    }
    for path in paths {
        match path {
            Path::Field("labels") => current.clone_from(new),
            Path::Entry("labels", key) => labels::set(current, key, new.get(*key)),
            other => return Some(*other),
        }
    }
    None
}
