//! `rmi`.

use crate::client::{Client, segment};
use crate::error;

/// Remove one or more images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents
    #[arg(long)]
    no_prune: bool,
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let flags = [(self.force, "force"), (self.no_prune, "noprune")];
        let query: Vec<_> =
            flags.iter().filter(|(on, _)| *on).map(|(_, name)| (*name, "1".to_owned())).collect();
        let mut failures = Vec::new();
        for image in &self.images {
            match client.delete(&format!("/images/{}", segment(image)), &query).await {
                Ok(list) => {
                    for entry in list.as_array().into_iter().flatten() {
                        for kind in ["Deleted", "Untagged"] {
                            if let Some(what) = entry[kind].as_str() {
                                say!("{kind}: {what}");
                            }
                        }
                    }
                }
                Err(e) if self.force && error::status(&e) == Some(404) => eprintln!("{}", error::text(&e)),
                Err(e) => failures.push(e),
            }
        }
        error::all(failures)
    }
}
