//! The whole stack, seen from outside: binaries, sockets, files. One binary, so that it links once.

mod architecture;
mod bad_frames;
mod bad_images;
mod bad_requests;
mod bad_rpc;
mod bad_specs;
mod climbing;
mod ctr;
mod daemon;
mod docker_suite;
mod engine;
mod full_disk;
mod peers;
mod registries;
mod registry_auth;
mod run;
mod survival;
mod swap;
mod transcript;
mod transfer;
