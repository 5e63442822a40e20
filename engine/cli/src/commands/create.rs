//! `create`.

use std::io::Write;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::client::{Client, Query};
use crate::commands::pull;
use crate::container::{ContainerFlags, build};
use crate::error::{for_run, status};
use crate::progress::To;
use crate::usage::flag_before_the_end;

/// Create a new container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: ContainerFlags,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        flag_before_the_end(&self.flags.image[0], "create")?;
        let made = async {
            // Not attached now, but whoever starts it with `-a -i` will be.
            let (body, _) = build(&self.flags, false)?;
            container(client, &self.flags, &body).await
        };
        let id = made.await.map_err(|e| for_run(e, "create"))?;
        say!("{id}");
        Ok(0)
    }
}

/// Creates the container, with a pull first if its image is not here. Answers the id.
pub(super) async fn container(
    client: &Client,
    flags: &ContainerFlags,
    body: &Value,
) -> anyhow::Result<String> {
    let image = flags.image[0].as_str();
    let to = if flags.quiet { To::Nowhere } else { To::Stderr };
    let platform = flags.platform.as_deref();
    let mut id_file = match &flags.cidfile {
        None => None,
        Some(path) if path.exists() => {
            bail!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            )
        }
        Some(path) => {
            Some(std::fs::File::create(path).with_context(|| format!("create {}", path.display()))?)
        }
    };
    if flags.pull == "always" {
        pull::image(client, image, platform, to).await?;
    }
    let name = flags.name.iter().map(|n| ("name", n.clone()));
    let query: Vec<(&str, String)> = name.chain(platform.map(|p| ("platform", p.to_owned()))).collect();
    let query: Query<'_> = &query;
    let made = match client.post("/containers/create", query, Some(body)).await {
        Err(e) if status(&e) == Some(404) && flags.pull == "missing" => {
            if !flags.quiet {
                eprintln!("Unable to find image '{}' locally", pull::with_tag(image));
            }
            pull::image(client, image, platform, to).await?;
            client.post("/containers/create", query, Some(body)).await
        }
        made => made,
    };
    let made = match made {
        Ok(made) => made,
        Err(e) => {
            if let Some(path) = &flags.cidfile {
                let _ = std::fs::remove_file(path);
            }
            return Err(e);
        }
    };
    for warning in made["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        eprintln!("WARNING: {warning}");
    }
    let id = made["Id"].as_str().context("the daemon answered no id")?.to_owned();
    if let Some(file) = &mut id_file {
        file.write_all(id.as_bytes())?;
    }
    Ok(id)
}
