//! `containerd.services.introspection.v1.Introspection`: which parts the daemon has.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::containerd::services::introspection::v1::{
    Plugin, PluginInfoRequest, PluginInfoResponse, PluginsRequest, PluginsResponse, ServerResponse,
};
use proto::containerd::types::Platform;
use proto_services::containerd::services::introspection::v1::introspection_server::Introspection;
use tonic::{Request, Response, Status};

use crate::error::{Error, Result};
use crate::metadata::filters::Filters;

/// Directory of the daemon's identity under its root.
const DIRECTORY: &str = "io.containerd.grpc.v1.introspection";

/// The daemon's identity and parts.
#[derive(Clone, Debug)]
pub struct IntrospectionService {
    uuid: Arc<str>,
    plugins: Arc<[Plugin]>,
}

/// A part that the daemon shows as a plugin.
#[derive(Clone, Debug)]
pub struct Part {
    /// Such as `io.containerd.snapshotter.v1`.
    pub kind: &'static str,
    /// Such as `overlayfs`.
    pub id: String,
    /// Its directory.
    pub root: Option<PathBuf>,
    /// What it can do beyond its face.
    pub capabilities: Vec<String>,
    /// Why it can't be used here.
    pub failure: Option<String>,
}

impl Part {
    /// A part that works.
    pub fn new(kind: &'static str, id: &str, root: Option<PathBuf>) -> Self {
        Self { kind, id: id.to_owned(), root, capabilities: Vec::new(), failure: None }
    }

    fn into_plugin(self) -> Plugin {
        let host = Platform {
            os: "linux".into(),
            architecture: architecture().into(),
            variant: String::new(),
            ..Platform::default()
        };
        let bound_to_platform = matches!(
            self.kind,
            "io.containerd.snapshotter.v1" | "io.containerd.runtime.v2" | "io.containerd.differ.v1"
        );
        let exports = self.root.map(|root| ("root".to_owned(), root.display().to_string()));
        Plugin {
            r#type: self.kind.into(),
            id: self.id,
            requires: Vec::new(),
            platforms: if bound_to_platform { vec![host] } else { Vec::new() },
            exports: exports.into_iter().collect::<BTreeMap<_, _>>(),
            capabilities: self.capabilities,
            init_err: self.failure.map(|message| proto::google::rpc::Status {
                code: tonic::Code::Unknown as i32,
                message,
                details: Vec::new(),
            }),
        }
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

impl IntrospectionService {
    /// Reads the daemon's identity under `root`, or gives it one.
    ///
    /// # Errors
    /// The identity can't be read or written.
    pub fn open(root: &Path, parts: Vec<Part>) -> Result<Self> {
        let uuid = identity(&root.join(DIRECTORY))
            .map_err(|error| Error::caused("read the daemon's identity", error))?;
        Ok(Self { uuid: uuid.into(), plugins: parts.into_iter().map(Part::into_plugin).collect() })
    }
}

fn identity(directory: &Path) -> std::io::Result<String> {
    let path = directory.join("uuid");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() == 36 => return Ok(text.trim().to_owned()),
        Ok(_) => {
            tracing::warn!(path = %path.display(), "the daemon's identity is damaged, a new one is made")
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut bits: u128 = rand::random();
    // Version 4, variant 1 of RFC 9562.
    bits = bits & !(0xf << 76) | 4 << 76;
    bits = bits & !(0x3 << 62) | 2 << 62;
    let hex = format!("{bits:032x}");
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(uuid.as_bytes())?;
    file.persist(&path)?;
    Ok(uuid)
}

fn field(plugin: &Plugin, path: &[&str]) -> Option<String> {
    match path {
        ["type"] => Some(plugin.r#type.clone()),
        ["id"] => Some(plugin.id.clone()),
        // Only their presence can be asked for.
        ["platforms"] => (!plugin.platforms.is_empty()).then(String::new),
        ["capabilities"] => (!plugin.capabilities.is_empty()).then(String::new),
        _ => None,
    }
}

#[tonic::async_trait]
impl Introspection for IntrospectionService {
    async fn plugins(&self, request: Request<PluginsRequest>) -> Result<Response<PluginsResponse>, Status> {
        let filters = Filters::parse(&request.into_inner().filters)?;
        let fits = |plugin: &&Plugin| filters.matches(&|path: &[&str]| field(plugin, path));
        Ok(Response::new(PluginsResponse { plugins: self.plugins.iter().filter(fits).cloned().collect() }))
    }

    async fn server(&self, _: Request<()>) -> Result<Response<ServerResponse>, Status> {
        let pidns = std::fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino());
        Ok(Response::new(ServerResponse {
            uuid: self.uuid.to_string(),
            pid: u64::from(std::process::id()),
            pidns,
            deprecations: Vec::new(),
        }))
    }

    async fn plugin_info(
        &self,
        request: Request<PluginInfoRequest>,
    ) -> Result<Response<PluginInfoResponse>, Status> {
        let PluginInfoRequest { r#type: kind, id, .. } = request.into_inner();
        let plugin = self
            .plugins
            .iter()
            .find(|plugin| plugin.r#type == kind && plugin.id == id)
            .ok_or_else(|| Error::not_found(format!("plugin {kind}.{id}")))?;
        Ok(Response::new(PluginInfoResponse { plugin: Some(plugin.clone()), extra: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_is_found_by_type_and_id_and_the_identity_lasts() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let open = || {
            let parts = ["overlayfs", "native"].map(|id| Part::new("io.containerd.snapshotter.v1", id, None));
            IntrospectionService::open(dir.path(), parts.to_vec()).expect("open")
        };
        let service = open();
        let filters = vec!["type==io.containerd.snapshotter.v1, id==overlayfs".to_owned()];
        let answer = service.plugins(Request::new(PluginsRequest { filters })).await.expect("plugins");
        let ids: Vec<_> = answer.get_ref().plugins.iter().map(|plugin| plugin.id.as_str()).collect();
        assert_eq!(ids, ["overlayfs"]);
        let uuid = |server: Response<ServerResponse>| server.into_inner().uuid;
        let first = uuid(service.server(Request::new(())).await.expect("server"));
        assert_eq!(first.len(), 36);
        assert_eq!(first, uuid(open().server(Request::new(())).await.expect("server")));
    }
}
