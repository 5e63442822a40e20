//! Labels that containerd-rs sets beside containerd's own.

/// On a snapshot that a layer was unpacked into: bytes of the layer's files, in decimal digits. What the snapshot
/// takes on disk is another number.
pub const LAYER_FILES_SIZE: &str = "containerd-rs/layer.files.size";
