//! Layers becoming directories: decompressed, hashed and applied in one pass.

mod apply;
mod decompress;

pub use apply::{AppliedLayer, apply_layer, target_of};
pub use decompress::Decompressed;
