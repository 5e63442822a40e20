//! The engine's command line, docker's in form.
