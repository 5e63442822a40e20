//! The whole stack, seen from outside: binaries, sockets, files. One binary, so that it links once.

mod architecture;
mod bad_images;
mod clients;
mod climbing;
mod ctr;
mod daemon;
mod docker_suite;
mod engine;
mod exec;
mod logs;
mod networks;
mod over_containerd;
mod peers;
mod registries;
mod run;
mod survival;
mod swap;
mod transcript;
mod transfer;
