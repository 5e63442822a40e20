//! Runtime options: from the daemon's `Any`, and as `options.json` in the bundle, which `delete` reads.

use std::fs;
use std::io::Read;
use std::path::Path;

use prost_types::Any;
use proto::containerd::runc::v1 as runc;
use proto::runtimeoptions::v1 as generic;
use proto::typeurl;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::files::write_atomic;

mod settings;

/// The options we heed, under their JSON names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    pub(crate) no_pivot_root: bool,
    pub(crate) no_new_keyring: bool,
    pub(crate) shim_cgroup: String,
    pub(crate) io_uid: u32,
    pub(crate) io_gid: u32,
    pub(crate) binary_name: String,
    pub(crate) root: String,
    pub(crate) systemd_cgroup: bool,
}

impl Options {
    /// Reads what a daemon sent; no options, and another runtime's, are the defaults. CRI and
    /// `ctr --runtime-config-path` send runtimes they don't know the generic form: settings as text, or a
    /// file of them.
    pub(crate) fn from_any(any: Option<&Any>) -> Result<Self, Failure> {
        let Some(any) = any else { return Ok(Self::default()) };
        if typeurl::is::<generic::Options>(any) {
            let options = typeurl::unpack::<generic::Options>(any).map_err(Failure::invalid)?;
            return Self::from_generic(&options);
        }
        if !typeurl::is::<runc::Options>(any) {
            return Ok(Self::default());
        }
        let options = typeurl::unpack::<runc::Options>(any).map_err(Failure::invalid)?;
        Ok(Self {
            no_pivot_root: options.no_pivot_root,
            no_new_keyring: options.no_new_keyring,
            shim_cgroup: options.shim_cgroup,
            io_uid: options.io_uid,
            io_gid: options.io_gid,
            binary_name: options.binary_name,
            root: options.root,
            systemd_cgroup: options.systemd_cgroup,
        })
    }

    fn from_generic(options: &generic::Options) -> Result<Self, Failure> {
        if !options.config_body.is_empty() {
            let text = std::str::from_utf8(&options.config_body)
                .map_err(|e| Failure::invalid(format!("runtime options: {e}")))?;
            return settings::parse(text).map_err(|e| Failure::invalid(format!("runtime options: {e}")));
        }
        if options.config_path.is_empty() {
            return Ok(Self::default());
        }
        let path = Path::new(&options.config_path);
        let fail = |e: &dyn std::fmt::Display| {
            Failure::invalid(format!("runtime options in {}: {e}", path.display()))
        };
        let file = fs::File::open(path).map_err(|e| fail(&e))?;
        let mut text = String::new();
        file.take(settings::LIMIT).read_to_string(&mut text).map_err(|e| fail(&e))?;
        settings::parse(&text).map_err(|e| fail(&e))
    }

    /// Leaves `options.json` and `runtime` in the bundle.
    pub(crate) fn save(&self, bundle: &Path) -> Result<(), Failure> {
        let json = serde_json::to_vec(self).map_err(|e| Failure::io("encode", "options.json", e))?;
        for (name, bytes) in [("options.json", json.as_slice()), ("runtime", self.binary_name.as_bytes())] {
            write_atomic(&bundle.join(name), bytes, 0o600)
                .map_err(|e| Failure::io("write", bundle.join(name).display(), e))?;
        }
        Ok(())
    }

    /// What a bundle says; a missing or broken file is the defaults, for `delete` has to do what it can.
    pub(crate) fn load(bundle: &Path) -> Self {
        let json = fs::read(bundle.join("options.json")).unwrap_or_default();
        let mut options: Self = serde_json::from_slice(&json).unwrap_or_default();
        if options.binary_name.is_empty() {
            options.binary_name = fs::read_to_string(bundle.join("runtime")).unwrap_or_default();
        }
        options
    }
}
