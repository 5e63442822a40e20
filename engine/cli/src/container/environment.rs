//! `--env`, `--env-file` and their cousins for labels: lines of `KEY=VALUE`.

use anyhow::{Context, bail};

/// Files first, then flags. A name alone takes its value from our environment, or is left out.
pub(crate) fn collect(files: &[String], flags: &[String]) -> anyhow::Result<Vec<String>> {
    let mut out = Vec::new();
    for path in files {
        for line in lines(path)? {
            let name = line.split('=').next().unwrap_or_default();
            if name.is_empty() {
                bail!("poorly formatted environment: no variable name on line '{line}'");
            }
            if name.contains(char::is_whitespace) {
                bail!("poorly formatted environment: variable '{name}' contains whitespaces");
            }
            out.extend(resolve(&line));
        }
    }
    for flag in flags {
        if flag.is_empty() || flag.starts_with('=') {
            bail!("invalid environment variable: {flag}");
        }
        out.extend(resolve(flag));
    }
    Ok(out)
}

/// `KEY=VALUE` pairs of files and flags; a key alone has an empty value.
pub(super) fn pairs(files: &[String], flags: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for path in files {
        all.extend(lines(path)?);
    }
    all.extend(flags.iter().cloned());
    let split = |line: &String| {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        (key.to_owned(), value.to_owned())
    };
    Ok(all.iter().map(split).collect())
}

fn resolve(line: &str) -> Option<String> {
    if line.contains('=') {
        return Some(line.to_owned());
    }
    std::env::var(line).ok().map(|value| format!("{line}={value}"))
}

fn lines(path: &str) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("open {path}"))?;
    let line = |l: &str| l.trim_start().to_owned();
    Ok(text.lines().map(line).filter(|l| !l.is_empty() && !l.starts_with('#')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_takes_our_value_or_none() {
        let got = collect(&[], &["A=1".into(), "PATH".into(), "NO_SUCH_VARIABLE_HERE".into()]).unwrap();
        assert_eq!(got.len(), 2);
        assert!(got[1].starts_with("PATH=/"));
        assert!(collect(&[], &["=x".into()]).is_err());
    }
}
