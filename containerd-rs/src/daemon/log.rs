//! The daemon's own log, on standard error.

use anyhow::bail;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Debug;

/// Sends the log to standard error from now on.
pub(super) fn init(debug: &Debug) -> anyhow::Result<()> {
    let level = match debug.level.as_str() {
        "trace" | "debug" | "info" | "warn" | "error" => debug.level.as_str(),
        "warning" => "warn",
        "fatal" | "panic" => "error",
        other => bail!("log level {other:?} is none of trace, debug, info, warn, error, fatal, panic"),
    };
    // Other crates' debug lines drown ours.
    let filter = EnvFilter::new(format!("{level},h2=info,hyper=info,tonic=info,tower=info,rustls=info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false);
    match debug.format.as_str() {
        "json" => builder.json().finish().try_init()?,
        "text" => builder.finish().try_init()?,
        other => bail!("log format {other:?} is neither text nor json"),
    }
    Ok(())
}
