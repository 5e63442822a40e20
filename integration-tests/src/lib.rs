//! The whole stack, with real peers beside it.
