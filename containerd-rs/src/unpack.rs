//! Layers becoming directories: decompressed, hashed and applied in one pass.

mod apply;
mod decompress;
mod make;
mod view;

pub use apply::{AppliedLayer, apply_layer, inherit_implied, target_of};
pub use decompress::Decompressed;
pub use make::{MakeLayer, UNCOMPRESSED, make_layer};
