//! config.json: its shape, what is read of it, and what is refused.

pub(crate) mod capabilities;
pub(crate) mod load;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod spec;
pub(crate) mod validate;
