//! The whole stack, seen from outside: binaries, sockets, files. One binary, so that it links once.

mod architecture;
mod bad_frames;
mod bad_images;
mod bad_rpc;
mod clients;
mod climbing;
mod corrupt_state;
mod ctr;
mod daemon;
mod docker_suite;
mod engine;
mod exec;
mod killed;
mod logs;
mod networks;
mod over_containerd;
mod peers;
mod registries;
mod registry_auth;
mod run;
mod shim_killed;
mod stale;
mod survival;
mod swap;
mod transcript;
mod transfer;
