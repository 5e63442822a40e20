//! The runtime as its callers see it: a binary, a bundle, exit codes, texts and what is left behind.
//!
//! `RUNC_RS_TEST_RUNTIME=/usr/sbin/runc … --skip ours_alone` makes the same claims of another runtime: what the
//! original fails is a wrong test, save for modules `ours_alone`, which say what it lacks. Needs root and
//! busybox-static, as CI and `make test` provide.
//!
//! `integration-tests/run-tests` makes three passes: all on the host; all but `limits` in a view of cgroup v2
//! alone, which has few controllers here; `limits` and the ignored `vm_*` modules in a VM with all controllers.

mod bad_input;
mod bundle;
mod cgroup;
mod crash;
mod descriptors;
mod events;
mod exec;
mod full_disk;
mod hooks;
mod host;
mod lifecycle;
mod limits;
mod mounts;
mod namespaces;
mod output;
mod process;
mod rootfs;
mod security;
mod security_images;
mod security_races;
mod terminal;
mod vm_systemd;
mod vm_systemd_scope;
mod vm_v2;
