//! `stats`: a look now, or one a second.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::client::{Client, segment};
use crate::table::short_id;
use crate::{error, template, units};

/// Display a live stream of container(s) resource usage statistics
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

const COLUMNS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        loop {
            let failures = self.look(client).await?;
            if self.no_stream || !failures.is_empty() {
                return error::all(failures);
            }
        }
    }

    async fn look(&self, client: &Client) -> anyhow::Result<Vec<anyhow::Error>> {
        let names =
            if self.containers.is_empty() { self.listed(client).await? } else { self.containers.clone() };
        let paths: Vec<String> = names.iter().map(|n| format!("/containers/{}/stats", segment(n))).collect();
        // The daemon takes two samples a second apart: that is our pace.
        let query = [("stream", "0".to_owned())];
        let answers = join_all(paths.iter().map(|path| client.get(path, &query))).await;
        let (mut rows, mut failures) = (Vec::new(), Vec::new());
        for (name, answer) in names.iter().zip(answers) {
            match answer {
                Ok(stats) => rows.push(self.row(name, &stats)),
                Err(e) => failures.push(e),
            }
        }
        let shown = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
        let text = template::rows(self.format.as_deref(), COLUMNS, &shown, &rows)?;
        if self.no_stream {
            say_raw!("{text}");
        } else {
            // Home, and clear what was there.
            say_raw!("\x1b[2J\x1b[H{text}");
        }
        Ok(failures)
    }

    async fn listed(&self, client: &Client) -> anyhow::Result<Vec<String>> {
        let query: Vec<_> = self.all.then(|| ("all", "1".to_owned())).into_iter().collect();
        let list = client.get("/containers/json", &query).await?;
        Ok(list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|c| c["Id"].as_str())
            .map(str::to_owned)
            .collect())
    }

    fn row(&self, container: &str, stats: &Value) -> Value {
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        let (cpu, before) = (&stats["cpu_stats"], &stats["precpu_stats"]);
        let used = number(&cpu["cpu_usage"]["total_usage"]) - number(&before["cpu_usage"]["total_usage"]);
        let passed = number(&cpu["system_cpu_usage"]) - number(&before["system_cpu_usage"]);
        let percent = if passed > 0.0 && used > 0.0 {
            used / passed * number(&cpu["online_cpus"]) * 100.0
        } else {
            0.0
        };
        let memory = &stats["memory_stats"];
        // The page cache that can go at once doesn't count as used.
        let cache = &memory["stats"]["total_inactive_file"];
        let cache = number(if cache.is_null() { &memory["stats"]["inactive_file"] } else { cache });
        let (all, limit) = (number(&memory["usage"]), number(&memory["limit"]));
        let usage = if cache < all { all - cache } else { all };
        let networks = || stats["networks"].as_object().into_iter().flatten();
        let sum = |key: &str| networks().fold(0.0, |total, (_, n)| total + number(&n[key]));
        let blocks = |first: char| {
            let list = stats["blkio_stats"]["io_service_bytes_recursive"].as_array().into_iter().flatten();
            let of = |e: &&Value| e["op"].as_str().is_some_and(|op| op.to_lowercase().starts_with(first));
            list.filter(of).fold(0.0, |total, e| total + number(&e["value"]))
        };
        let id = stats["id"].as_str().unwrap_or_default();
        json!({
            "Container": container,
            "ID": if self.no_trunc { id } else { short_id(id) },
            "Name": stats["name"].as_str().unwrap_or_default().trim_start_matches('/'),
            "CPUPerc": format!("{percent:.2}%"),
            "MemUsage": format!("{} / {}", units::binary_size(usage), units::binary_size(limit)),
            "MemPerc": format!("{:.2}%", if limit > 0.0 { usage / limit * 100.0 } else { 0.0 }),
            "NetIO": format!("{} / {}", units::size(sum("rx_bytes"), 3), units::size(sum("tx_bytes"), 3)),
            "BlockIO": format!("{} / {}", units::size(blocks('r'), 3), units::size(blocks('w'), 3)),
            "PIDs": (number(&stats["pids_stats"]["current"]) as u64).to_string(),
        })
    }
}
