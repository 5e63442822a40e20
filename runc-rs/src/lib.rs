//! An OCI runtime, in place of runc.
