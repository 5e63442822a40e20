//! `inspect`, of anything or of one kind.

use serde_json::Value;

use crate::client::{Client, segment};
use crate::error::{self, status};
use crate::json;
use crate::template::Template;

/// Return low-level information on objects
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
    /// Only inspect objects of the given type
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

/// The same, of one kind.
#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

/// What can be inspected, in the order it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

impl Kind {
    fn path(self, name: &str) -> String {
        let name = segment(name);
        match self {
            Self::Container => format!("/containers/{name}/json"),
            Self::Image => format!("/images/{name}/json"),
            Self::Network => format!("/networks/{name}"),
            Self::Volume => format!("/volumes/{name}"),
        }
    }
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let kinds = match self.kind {
            Some(kind) => vec![kind],
            None => vec![Kind::Container, Kind::Image, Kind::Network, Kind::Volume],
        };
        show(client, &self.names, &kinds, self.format.as_deref(), self.size).await
    }
}

impl Of {
    pub(crate) async fn run(self, client: &Client, kind: Kind) -> anyhow::Result<u8> {
        show(client, &self.names, &[kind], self.format.as_deref(), false).await
    }
}

async fn show(
    client: &Client,
    names: &[String],
    kinds: &[Kind],
    format: Option<&str>,
    size: bool,
) -> anyhow::Result<u8> {
    let template = match format {
        None | Some("" | "json") => None,
        Some(text) => Some(Template::parse(&text.replace("\\t", "\t").replace("\\n", "\n"))?),
    };
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match look(client, name, kinds, size).await {
            Ok(text) => found.push(text),
            Err(e) => failures.push(e),
        }
    }
    match (&template, format) {
        (Some(template), _) => {
            for text in &found {
                let value: Value = serde_json::from_str(text)?;
                say!("{}", template.render(&value)?);
            }
        }
        (None, Some("json")) => found.iter().for_each(|text| say!("{}", text.trim())),
        // The daemon's own order of fields and digits of numbers.
        (None, _) => say!("{}", json::indent(&format!("[{}]", found.join(",")), 0)),
    }
    error::all(failures)
}

async fn look(client: &Client, name: &str, kinds: &[Kind], size: bool) -> anyhow::Result<String> {
    let query: Vec<_> = size.then(|| ("size", "1".to_owned())).into_iter().collect();
    let mut last = None;
    for kind in kinds {
        match client.get_text(&kind.path(name), &query).await {
            Ok(text) => return Ok(text),
            Err(e) => {
                let text = e.to_string();
                let elsewhere = status(&e) == Some(404)
                    || text.contains("invalid reference format")
                    || text.contains("not supported");
                if !elsewhere {
                    return Err(e);
                }
                last = Some(e);
            }
        }
    }
    match last {
        Some(e) if kinds.len() == 1 => Err(e),
        _ => Err(anyhow::anyhow!("Error: No such object: {name}")),
    }
}
