//! What went wrong, in docker's words, and the exit code.

/// An answer of the daemon with an error status.
#[derive(Debug, thiserror::Error)]
#[error("Error response from daemon: {message}")]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) message: String,
}

/// No daemon.
#[derive(Debug, thiserror::Error)]
#[error("Cannot connect to the engine daemon at {host}. Is engined running?")]
pub(crate) struct ConnectError {
    pub(crate) host: String,
    #[source]
    pub(crate) source: std::io::Error,
}

/// A text to be shown as it is, with its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(code: u8, text: impl Into<String>) -> Self {
        Self { text: text.into(), code }
    }
}

/// The daemon's status, if it was the daemon.
pub(crate) fn status(error: &anyhow::Error) -> Option<u16> {
    error.downcast_ref::<ApiError>().map(|e| e.status)
}

/// Prints the error; answers the exit code.
pub(crate) fn report(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        if !failure.text.is_empty() {
            eprintln!("{failure}");
        }
        return failure.code;
    }
    if is_broken_pipe(error) {
        // What a program that doesn't handle SIGPIPE ends with.
        return 141;
    }
    eprintln!("{}", text(error));
    1
}

/// Whoever read our output has gone.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The daemon's text alone, ours with their causes.
pub(crate) fn text(error: &anyhow::Error) -> String {
    if error.is::<ApiError>() || error.is::<ConnectError>() {
        error.to_string()
    } else {
        format!("{error:#}")
    }
}

/// An error of `run` and `create`: 127 and 126 for a command that can't be found or started, else 125.
pub(crate) fn for_run(error: anyhow::Error, verb: &str) -> anyhow::Error {
    if error.is::<Failure>() || is_broken_pipe(&error) {
        return error;
    }
    let text = text(&error);
    let any = |list: &[&str]| list.iter().any(|part| text.contains(part));
    let code = if any(&[
        "executable file not found",
        "no such file or directory",
        "system cannot find the file specified",
    ]) {
        127
    } else if any(&["permission denied", "is a directory"]) {
        126
    } else {
        125
    };
    Failure::new(code, format!("engine: {text}\n\nRun 'engine {verb} --help' for more information")).into()
}

/// Several objects were asked for and some failed: each failure on its line, exit 1.
pub(crate) fn all(failures: Vec<anyhow::Error>) -> anyhow::Result<u8> {
    for failure in &failures {
        eprintln!("{}", text(failure));
    }
    Ok(u8::from(!failures.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(message: &str) -> u8 {
        let error = ApiError { status: 400, message: message.into() };
        for_run(error.into(), "run").downcast_ref::<Failure>().unwrap().code
    }

    #[test]
    fn run_fails_with_dockers_codes() {
        assert_eq!(code("exec: \"x\": executable file not found in $PATH: unknown"), 127);
        assert_eq!(code("exec: \"/etc\": permission denied: unknown"), 126);
        assert_eq!(code("No such image: x"), 125);
    }
}
