//! Runtimes by name: the shim that runs a container, and the OCI binary the shim calls.
//!
//! ```text
//! EXEC/runtimes/NAME    a script that runs a runtime with the arguments daemon.json gives it
//! EXEC/runtime/NAME     the runtime's own --root
//! ```

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use proto::containerd::runc::v1::Options;

use crate::config::{Config, RuntimeEntry};
use crate::error::{Error, Result};

/// The shim that writes logs itself.
pub const OUR_SHIM: &str = "io.containerd.runcrs.v2";
const OUR_SHIM_BINARY: &str = "containerd-shim-runcrs-v2";

/// How a runtime name is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// containerd's runtime name.
    pub shim: String,
    /// For the shim; the binary is empty where the shim decides.
    pub options: Options,
}

impl Runtime {
    /// The shim takes our log URIs.
    pub fn logs_itself(&self) -> bool {
        self.shim == OUR_SHIM
    }
}

/// The runtimes of one daemon.
#[derive(Clone, Debug)]
pub struct Runtimes {
    added: std::collections::BTreeMap<String, RuntimeEntry>,
    default: String,
    exec_root: PathBuf,
}

impl Runtimes {
    /// The known runtimes and those of the settings.
    pub fn new(config: &Config) -> Self {
        Self {
            added: config.runtimes.clone(),
            default: config.default_runtime.clone(),
            exec_root: config.exec_root.clone(),
        }
    }

    /// The name of the default one.
    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// The names and paths that info shows.
    pub fn list(&self) -> Vec<(String, String)> {
        let known = ["runc-rs", "runc", "crun"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), find_binary(name)?.display().to_string())));
        let mut all: std::collections::BTreeMap<String, String> = known.collect();
        all.extend(self.added.iter().map(|(name, entry)| (name.clone(), entry.path.clone())));
        all.into_iter().collect()
    }

    /// Resolves a name; empty means the default.
    ///
    /// # Errors
    /// 400 for an unknown one.
    pub fn resolve(&self, name: &str) -> Result<Runtime> {
        let name = if name.is_empty() { &self.default } else { name };
        let unknown = || Error::invalid(format!("unknown or invalid runtime name: {name}"));
        let root = self.exec_root.join("runtime").join(name).display().to_string();
        let with = |shim: &str, binary: String| Runtime {
            shim: shim.to_owned(),
            options: Options { binary_name: binary, root: root.clone(), ..Options::default() },
        };
        if let Some(entry) = self.added.get(name) {
            if !entry.shim.is_empty() {
                return Ok(with(&entry.shim, entry.path.clone()));
            }
            let binary = find_binary(&entry.path).ok_or_else(unknown)?;
            let binary =
                if entry.args.is_empty() { binary } else { self.wrapper(name, &binary, &entry.args)? };
            return Ok(with(OUR_SHIM, binary.display().to_string()));
        }
        match name {
            "runc-rs" | "runc" | "crun" => {
                let binary = find_binary(name).ok_or_else(|| {
                    Error::invalid(format!(
                        "runtime {name}: executable file not found in $PATH nor beside the engine"
                    ))
                })?;
                Ok(with(OUR_SHIM, binary.display().to_string()))
            }
            _ if name.starts_with("io.containerd.") && name.split('.').count() >= 4 => {
                let root = self.exec_root.join("runtime").join("shim").display().to_string();
                let binary = if name == OUR_SHIM { find_binary("runc-rs") } else { find_binary("runc") };
                let binary_name = binary.map(|path| path.display().to_string()).unwrap_or_default();
                Ok(Runtime {
                    shim: name.to_owned(),
                    options: Options { binary_name, root, ..Options::default() },
                })
            }
            _ => Err(unknown()),
        }
    }

    /// Options has no field for arguments: a script carries them.
    fn wrapper(&self, name: &str, binary: &Path, args: &[String]) -> Result<PathBuf> {
        let path = self.exec_root.join("runtimes").join(name);
        let words: Vec<String> =
            std::iter::once(&binary.display().to_string()).chain(args).map(|word| quote(word)).collect();
        let script = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
        let failed = |source| Error::caused(format!("write the wrapper of runtime {name}"), source);
        crate::files::keep(&path, &script, 0o700).map_err(failed)?;
        Ok(path)
    }
}

/// Our shim's binary, as a logger for other shims.
///
/// # Errors
/// It is neither beside the daemon nor on the PATH.
pub fn logger_binary() -> Result<PathBuf> {
    find_binary(OUR_SHIM_BINARY).ok_or_else(|| {
        Error::system(format!(
            "{OUR_SHIM_BINARY} (which writes the logs) is neither beside the engine nor in $PATH"
        ))
    })
}

/// A binary by path, or by name beside our own and then on the PATH.
pub fn find_binary(name: &str) -> Option<PathBuf> {
    let is_executable = |path: &PathBuf| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(is_executable);
    }
    let own = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_path_buf));
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.into_iter().chain(std::env::split_paths(&path)).map(|dir| dir.join(name)).find(is_executable)
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// docker's exit code and HTTP kind for a start of `command` that failed with these words of a runtime.
/// Each runtime has its own: what counts is the kernel's text, and for a missing file the command in it.
pub fn start_failure(text: &str, command: &str) -> (i64, crate::error::Kind) {
    let lower = text.to_ascii_lowercase();
    let has_any = |needles: &[&str]| needles.iter().any(|needle| lower.contains(needle));
    let missing = ["executable file not found", "no such file or directory"];
    if has_any(&missing) && !command.is_empty() && lower.contains(&command.to_ascii_lowercase()) {
        return (127, crate::error::Kind::InvalidParameter);
    }
    if has_any(&["permission denied", "is a directory"]) {
        return (126, crate::error::Kind::InvalidParameter);
    }
    (128, crate::error::Kind::System)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtimes(exec_root: &Path) -> Runtimes {
        let entry = RuntimeEntry {
            path: "/bin/sh".into(),
            args: vec!["--flag=it's".into()],
            ..RuntimeEntry::default()
        };
        let added = [
            ("plain".to_owned(), RuntimeEntry { path: "/bin/sh".into(), ..RuntimeEntry::default() }),
            ("wrapped".to_owned(), entry),
        ];
        Runtimes { added: added.into(), default: "plain".into(), exec_root: exec_root.into() }
    }

    #[test]
    fn names_become_binaries_and_shims() {
        let dir = tempfile::tempdir().expect("temp dir");
        let runtimes = runtimes(dir.path());
        let plain = runtimes.resolve("").expect("default");
        assert_eq!((plain.shim.as_str(), plain.options.binary_name.as_str()), (OUR_SHIM, "/bin/sh"));
        assert_eq!(runtimes.resolve("io.containerd.runc.v2").expect("shim").shim, "io.containerd.runc.v2");
        let error = runtimes.resolve("bogus").expect_err("unknown");
        assert_eq!(error.to_string(), "unknown or invalid runtime name: bogus");
    }

    #[test]
    fn arguments_go_into_a_script_with_quotes() {
        let dir = tempfile::tempdir().expect("temp dir");
        let wrapped = runtimes(dir.path()).resolve("wrapped").expect("wrapped");
        let script = std::fs::read_to_string(wrapped.options.binary_name).expect("script");
        assert_eq!(script, "#!/bin/sh\nexec '/bin/sh' '--flag=it'\\''s' \"$@\"\n");
    }

    #[test]
    fn failures_get_dockers_codes() {
        let text = r#"runc create failed: unable to start container process: exec: "nosuch": executable file not found in $PATH"#;
        assert_eq!(start_failure(text, "nosuch").0, 127);
        let denied = "unable to start container process: exec: \"/x\": permission denied";
        assert_eq!(start_failure(denied, "/x").0, 126);
        assert_eq!(start_failure("something else", "/x").0, 128);
        assert_eq!(start_failure("mount /volume: no such file or directory", "/x").0, 128, "not the command");
        // crun's words.
        let text = "executable file `nosuch` not found in $PATH: No such file or directory";
        assert_eq!(start_failure(text, "nosuch").0, 127);
        assert_eq!(start_failure("open executable: Permission denied", "/x").0, 126);
    }
}
