//! The binary, driven as a daemon drives it: its command line, ttrpc on its socket, events on ours. The runtime
//! below is Debian's runc, or what `SHIM_TEST_RUNTIME` names.

mod exits;
mod life;
mod methods;
mod output;
mod rig;
