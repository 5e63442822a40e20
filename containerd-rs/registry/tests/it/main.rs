//! The client against Debian's `docker-registry`, and against a server that misbehaves.

mod misbehaving;
mod real;
mod server;
