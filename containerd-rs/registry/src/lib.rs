//! OCI distribution client: hosts, credentials, fetch with resume, push.
