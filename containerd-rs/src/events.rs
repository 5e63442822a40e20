//! Events: what happened, told once to everyone who listens now. There is no replay.

mod exchange;

pub use exchange::{Exchange, Subscription};
