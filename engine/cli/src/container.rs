//! A container to be created: the flags that `run` and `create` share, and the request made of them.

mod environment;
mod flags;
mod mounts;
mod ports;
mod request;
mod values;

pub(crate) use environment::collect as environment;
pub(crate) use flags::ContainerFlags;
pub(crate) use request::{Streams, build};
