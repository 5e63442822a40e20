//! Options as text: the flat TOML that containerd's configuration gives a runtime, `Key = value` by line.

use super::Options;

/// More is read of no file, in bytes.
pub(super) const LIMIT: u64 = 64 << 10;

/// Why a text can't be used; with the number of its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    line: usize,
    reason: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// A key that is misspelt would mean another runtime than was wanted: it is an error.
pub(super) fn parse(text: &str) -> Result<Options, Refusal> {
    let mut options = Options::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        set(&mut options, line).map_err(|reason| Refusal { line: number + 1, reason })?;
    }
    Ok(options)
}

fn set(options: &mut Options, line: &str) -> Result<(), String> {
    let (key, value) = line.split_once('=').ok_or("`Key = value` is wanted")?;
    let (key, value) = (key.trim(), value.trim());
    match key {
        "NoPivotRoot" => options.no_pivot_root = flag(value)?,
        "NoNewKeyring" => options.no_new_keyring = flag(value)?,
        "SystemdCgroup" => options.systemd_cgroup = flag(value)?,
        "ShimCgroup" => options.shim_cgroup = string(value)?,
        "BinaryName" => options.binary_name = string(value)?,
        "Root" => options.root = string(value)?,
        "IoUid" => options.io_uid = id(value)?,
        "IoGid" => options.io_gid = id(value)?,
        // Checkpoints, and where containerd's own task API listens: nothing of ours reads them.
        "CriuPath" | "CriuImagePath" | "CriuWorkPath" | "TaskApiAddress" | "TaskApiVersion" => {}
        _ => return Err(format!("unknown option {key:?}")),
    }
    Ok(())
}

fn flag(value: &str) -> Result<bool, String> {
    match without_comment(value) {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

fn id(value: &str) -> Result<u32, String> {
    without_comment(value).parse().map_err(|e| format!("{value:?}: {e}"))
}

/// A basic string (in which only `\"` and `\\` are escapes that a path needs) or a literal one.
fn string(value: &str) -> Result<String, String> {
    let quote =
        value.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or("a quoted string is wanted")?;
    let mut text = String::new();
    let mut chars = value[1..].chars();
    loop {
        match chars.next() {
            None => return Err(format!("{value} has no end")),
            Some(c) if c == quote => break,
            Some('\\') if quote == '"' => match chars.next() {
                Some(c @ ('"' | '\\')) => text.push(c),
                other => return Err(format!("unknown escape \\{}", other.unwrap_or(' '))),
            },
            Some(c) => text.push(c),
        }
    }
    match without_comment(chars.as_str()) {
        "" => Ok(text),
        rest => Err(format!("{rest:?} after a string")),
    }
}

fn without_comment(text: &str) -> &str {
    text.split('#').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containerd_writes_of_its_configuration_is_read() {
        let text = "BinaryName = \"/usr/bin/crun\"\nCriuPath = \"\"\nIoUid = 7\nNoPivotRoot = false\n\
                    Root = '/run/it' # here\n\n# more\nSystemdCgroup = true\n";
        let options = parse(text).expect("good settings");
        let expected = Options {
            binary_name: "/usr/bin/crun".into(),
            root: "/run/it".into(),
            io_uid: 7,
            systemd_cgroup: true,
            ..Options::default()
        };
        assert_eq!(options, expected);
        assert_eq!(
            parse(r#"BinaryName = "a \"b\" \\c # d""#).expect("escapes").binary_name,
            "a \"b\" \\c # d"
        );
        assert_eq!(parse("").expect("nothing"), Options::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, said) in [
            ("BinaryNam = \"x\"", "line 1: unknown option \"BinaryNam\""),
            ("\nBinaryName", "line 2: `Key = value` is wanted"),
            ("BinaryName = crun", "line 1: a quoted string is wanted"),
            ("BinaryName = \"crun", "line 1: \"crun has no end"),
            ("BinaryName = \"a\" b", "line 1: \"b\" after a string"),
            ("SystemdCgroup = 1", "line 1: \"1\" is neither true nor false"),
            ("IoUid = -1", "line 1: \"-1\": invalid digit found in string"),
            ("[options]", "line 1: `Key = value` is wanted"),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), said);
        }
    }
}
