//! The runtime as its callers see it: a binary, a bundle, exit codes, texts and what is left behind.
//!
//! `RUNC_RS_TEST_RUNTIME=runc` runs the same claims on another runtime; where only ours keeps one, the test
//! says so. Needs root and busybox-static, as CI and `make test` provide.

mod bad_input;
mod bundle;
mod exec;
mod lifecycle;
mod namespaces;
mod rootfs;
mod security;
