//! `ps`, `container ls`.

use serde_json::{Value, json};

use crate::client::Client;
use crate::commands::port;
use crate::table::{ellipsis, short_id};
use crate::{filters, template, timestamps, units};

/// List containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long)]
    filter: Vec<String>,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, default_value_t = -1, allow_hyphen_values = true, hide_default_value = true)]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

const COLUMNS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
];

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let mut query = filters::query(&self.filter)?;
        let last = if self.latest { 1 } else { self.last };
        if self.all || last > 0 {
            query.push(("all", "1".to_owned()));
        }
        if last > 0 {
            query.push(("limit", last.to_string()));
        }
        let sizes = self.size || self.format.as_deref().is_some_and(|f| f.contains(".Size"));
        if sizes {
            query.push(("size", "1".to_owned()));
        }
        let list = client.get("/containers/json", &query).await?;
        let rows: Vec<Value> = list.as_array().into_iter().flatten().map(|c| self.row(c)).collect();
        if self.quiet {
            rows.iter().filter_map(|row| row["ID"].as_str()).for_each(|id| say!("{id}"));
            return Ok(0);
        }
        let mut shown = vec!["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
        if self.size {
            shown.push("Size");
        }
        say_raw!("{}", template::rows(self.format.as_deref(), COLUMNS, &shown, &rows)?);
        Ok(0)
    }

    fn row(&self, container: &Value) -> Value {
        let text = |key: &str| container[key].as_str().unwrap_or_default();
        let cut = |text: &str, width: usize| {
            if self.no_trunc { text.to_owned() } else { ellipsis(text, width) }
        };
        let created = container["Created"].as_i64().unwrap_or(0);
        let since = time::OffsetDateTime::now_utc().unix_timestamp() - created;
        let names: Vec<&str> =
            container["Names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        // Names with a second slash are links seen from another container.
        let names =
            names.iter().map(|n| n.trim_start_matches('/')).filter(|n| self.no_trunc || !n.contains('/'));
        let mounts = container["Mounts"].as_array().into_iter().flatten();
        let mounts = mounts.map(|m| cut(m["Name"].as_str().or(m["Source"].as_str()).unwrap_or_default(), 15));
        let labels = container["Labels"].as_object().into_iter().flatten();
        let labels = labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()));
        let networks = container["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
        let image = match text("Image") {
            "" => "<no image>".to_owned(),
            name if name.starts_with("sha256:") && !self.no_trunc => short_id(name).to_owned(),
            name => name.to_owned(),
        };
        let size = |key: &str| units::size(container[key].as_f64().unwrap_or(0.0), 3);
        let virtual_size = match container["SizeRootFs"].as_f64().unwrap_or(0.0) {
            0.0 => String::new(),
            _ => format!(" (virtual {})", size("SizeRootFs")),
        };
        json!({
            "ID": if self.no_trunc { text("Id") } else { short_id(text("Id")) },
            "Image": image,
            "Command": format!("{:?}", cut(text("Command"), 20)),
            "CreatedAt": timestamps::date(created),
            "RunningFor": format!("{} ago", units::duration(since)),
            "Platform": null,
            "Ports": port::summary(&container["Ports"]),
            "State": text("State"),
            "Status": text("Status"),
            "Size": format!("{}{virtual_size}", size("SizeRw")),
            "Names": names.collect::<Vec<_>>().join(","),
            "Labels": labels.collect::<Vec<_>>().join(","),
            "Mounts": mounts.collect::<Vec<_>>().join(","),
            "LocalVolumes": "0",
            "Networks": networks.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(","),
        })
    }
}
