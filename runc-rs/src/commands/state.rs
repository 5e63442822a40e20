//! `state`: one container as JSON, with runc's keys.

use serde::Serialize;
use std::collections::BTreeMap;

use super::{id_of, print};
use crate::cli::{Args, Global};
use crate::container::state::State;
use crate::container::status::Status;
use crate::container::store::Entry;

/// What `state` prints and `list` is made of.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    oci_version: String,
    pub(super) id: String,
    pub(super) pid: i32,
    pub(super) status: String,
    pub(super) bundle: String,
    rootfs: String,
    pub(super) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    pub(super) owner: String,
}

impl View {
    pub(super) fn of(entry: &Entry, state: State) -> Self {
        let status = Status::of(entry, &state);
        let pid = state.init.as_ref().filter(|_| status != Status::Stopped).map_or(0, |p| p.pid);
        Self {
            oci_version: state.oci_version,
            id: state.id,
            pid,
            status: status.to_string(),
            bundle: state.bundle.display().to_string(),
            rootfs: state.rootfs.display().to_string(),
            created: state.created,
            annotations: state.annotations,
            owner: user_name(entry.owner()),
        }
    }
}

/// The host's name of a user; its number if it has none.
fn user_name(uid: u32) -> String {
    if uid == 0 {
        return "root".to_owned();
    }
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<i32> {
    let entry = Entry::open(&global.root, &id_of(args, "state")?)?;
    let state = entry.read()?;
    // As runc: only `list` names the owner.
    let view = View { owner: String::new(), ..View::of(&entry, state) };
    let text = serde_json::to_string_pretty(&view)?;
    Ok(i32::from(print(&format!("{text}\n"))))
}
