//! Layers as tar archives: applying, making, and what must never leave the root.
