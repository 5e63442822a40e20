//! Transfer: images between registries and the stores, told of on streams of the client's.

mod bytes;
mod chain;
mod credentials;
mod export;
mod fetch;
mod hold;
mod import;
mod progress;
mod pull;
mod push;
mod resolver;
mod stored;
mod streams;

#[cfg(test)]
mod tests;

pub use export::Export;
pub use hold::end_cut_off;
pub use import::Import;
pub use progress::Progress;
pub use pull::{Copier, Pull, Unpack};
pub use push::Push;
pub use streams::{ClientEnds, Open, Streams};
