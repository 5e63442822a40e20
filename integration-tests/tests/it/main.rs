//! The whole stack, seen from outside: binaries, sockets, files. One binary, so that it links once.

mod architecture;
mod daemon;
mod engine;
mod registries;
mod run;
mod survival;
mod swap;
mod transfer;
