//! `images`.

use serde_json::{Value, json};

use crate::client::Client;
use crate::table::short_id;
use crate::{filters, template, timestamps, units};

/// List images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long)]
    filter: Vec<String>,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
}

const COLUMNS: &[(&str, &str)] = &[
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
];

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let mut conditions = self.filter.clone();
        conditions.extend(self.repository.iter().map(|r| format!("reference={r}")));
        let mut query = filters::query(&conditions)?;
        if self.all {
            query.push(("all", "1".to_owned()));
        }
        let list = client.get("/images/json", &query).await?;
        let rows: Vec<Value> =
            list.as_array().into_iter().flatten().flat_map(|image| self.rows(image)).collect();
        if self.quiet {
            rows.iter().filter_map(|row| row["ID"].as_str()).for_each(|id| say!("{id}"));
            return Ok(0);
        }
        let mut shown = vec!["Repository", "Tag", "ID", "CreatedSince", "Size"];
        if self.digests {
            shown.insert(2, "Digest");
        }
        say_raw!("{}", template::rows(self.format.as_deref(), COLUMNS, &shown, &rows)?);
        Ok(0)
    }

    /// A row for each tag, or one for an image without.
    fn rows(&self, image: &Value) -> Vec<Value> {
        let list = |key: &str| -> Vec<String> {
            let texts = image[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.filter(|t| !t.starts_with("<none>")).map(str::to_owned).collect()
        };
        let (tags, digests) = (list("RepoTags"), list("RepoDigests"));
        let digest_of = |repository: &str| {
            let found = digests.iter().find_map(|d| d.strip_prefix(repository)?.strip_prefix('@'));
            found.unwrap_or("<none>").to_owned()
        };
        let mut names: Vec<(String, String, String)> = tags
            .iter()
            .filter_map(|t| t.rsplit_once(':'))
            .map(|(repository, tag)| (repository.to_owned(), tag.to_owned(), digest_of(repository)))
            .collect();
        if names.is_empty() {
            let (repository, digest) = match digests.first().and_then(|d| d.split_once('@')) {
                Some((repository, digest)) => (repository.to_owned(), digest.to_owned()),
                None => ("<none>".to_owned(), "<none>".to_owned()),
            };
            names.push((repository, "<none>".into(), digest));
        }
        let id = image["Id"].as_str().unwrap_or_default();
        let created = image["Created"].as_i64().unwrap_or(0);
        let since = time::OffsetDateTime::now_utc().unix_timestamp() - created;
        let row = |(repository, tag, digest): (String, String, String)| {
            json!({
                "Repository": repository,
                "Tag": tag,
                "Digest": digest,
                "ID": if self.no_trunc { id } else { short_id(id) },
                "CreatedSince": if created <= 0 { "N/A".to_owned() } else { format!("{} ago", units::duration(since)) },
                "CreatedAt": timestamps::date(created),
                "Size": units::size(image["Size"].as_f64().unwrap_or(0.0), 3),
            })
        };
        names.into_iter().map(row).collect()
    }
}
