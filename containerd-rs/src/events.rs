//! Events: what happened, told once to everyone who listens now.

mod exchange;
mod topic;

pub use exchange::{Exchange, Subscription};
pub use topic::check_topic;
