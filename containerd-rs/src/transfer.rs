//! Transfer: images between registries and the stores, told of on streams of the client's.

mod credentials;
mod fetch;
mod progress;
mod pull;
mod streams;

pub use progress::Progress;
pub use pull::{Pull, Puller, Unpack};
pub use streams::{ClientEnds, Open, Streams};
