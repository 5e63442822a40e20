//! The processes of a container, by the host's `ps`.

use std::collections::HashSet;
use std::sync::Arc;

use super::state::Status;
use super::stop::not_running;
use super::{Container, Containers};
use crate::error::{Error, Result};

/// `ps`' table cut down to one container.
#[derive(Debug, PartialEq, Eq)]
pub struct Processes {
    /// The columns.
    pub titles: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Containers {
    /// Lists the processes as `ps ARGS` shows them.
    ///
    /// # Errors
    /// 409 when it doesn't run, 500 for arguments that ps refuses.
    pub async fn top(&self, container: &Arc<Container>, args: &str) -> Result<Processes> {
        match container.state().status {
            Status::Running | Status::Paused => {}
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "Container {} is restarting, wait until the container is running",
                    container.id
                )));
            }
            _ => return Err(not_running(container)),
        }
        let pids: HashSet<u32> =
            self.client.pids(&container.id).await?.into_iter().map(|process| process.pid).collect();
        let words: Vec<&str> = args.split_whitespace().collect();
        let words = if words.is_empty() { vec!["-ef"] } else { words };
        let ps = |args: Vec<&str>| {
            let output = tokio::process::Command::new("ps").args(args).output();
            async { output.await.map_err(|source| Error::caused("run ps", source)) }
        };
        // Asked for by their ids, other users' processes are shown too; some options don't go with that.
        let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let mut output = ps([words.as_slice(), &["-q", &list]].concat()).await?;
        if !output.status.success() {
            output = ps(words).await?;
        }
        if !output.status.success() {
            return Err(Error::system(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim())));
        }
        let table = parse(&String::from_utf8_lossy(&output.stdout), &pids)?;
        self.event(container, "top", &[]);
        Ok(table)
    }
}

fn parse(text: &str, pids: &HashSet<u32>) -> Result<Processes> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or_else(|| Error::system("Couldn't find PID field in ps output"))?;
    let mut rows = Vec::new();
    for line in lines {
        let mut rest = line.trim_start();
        let mut fields = Vec::with_capacity(titles.len());
        while fields.len() + 1 < titles.len() {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            fields.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
        fields.push(rest.trim_end().to_owned());
        if fields.get(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid: u32| pids.contains(&pid)) {
            rows.push(fields);
        }
    }
    Ok(Processes { titles, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_rows_stay_and_the_command_keeps_its_blanks() {
        let text = "UID PID CMD\nroot 1 init\nroot 7 sh -c  sleep 1\n";
        let table = parse(text, &HashSet::from([7])).expect("a table");
        assert_eq!(table.rows, [["root", "7", "sh -c  sleep 1"]]);
        assert!(parse("UID CMD\n", &HashSet::new()).is_err());
    }
}
