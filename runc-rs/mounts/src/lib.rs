//! Mount options, mount tables and mount system calls.
