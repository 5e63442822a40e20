//! The runtime as its callers see it: a binary, a bundle, exit codes, texts and what is left behind.
//!
//! `RUNC_RS_TEST_RUNTIME=/usr/sbin/runc … --skip ours_alone` makes the same claims of another runtime: what the
//! original fails is a wrong test, save for modules `ours_alone`, which say what it lacks. Needs root and
//! busybox-static, as CI and `make test` provide.

mod bad_input;
mod bundle;
mod exec;
mod lifecycle;
mod namespaces;
mod rootfs;
mod security;
