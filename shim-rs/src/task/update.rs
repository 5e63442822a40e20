//! Update: new limits, `RUNTIME update --resources FILE`.

use prost::Message;
use proto::containerd::task::v2::UpdateTaskRequest;

use crate::event_loop::Shim;
use crate::failure::Failure;
use crate::files::write_atomic;
use crate::server::ReplyTo;

use super::{Answer, Outcome};

pub(super) fn update(shim: &mut Shim, to: ReplyTo, request: &UpdateTaskRequest) -> Outcome {
    let number = shim.number();
    let container = shim.container(&request.id)?;
    let json = request.resources.as_ref().map(|any| any.value.as_slice()).unwrap_or_default();
    serde_json::from_slice::<serde::de::IgnoredAny>(json)
        .map_err(|e| Failure::invalid(format!("resources of {}: {e}", request.id)))?;
    let path = container.bundle.join(format!("update-{number}.json"));
    write_atomic(&path, json, 0o600).map_err(|e| Failure::io("write", path.display(), e))?;
    let runtime = container.runtime.clone();
    let mut command = runtime.command(&["update", "--resources"]);
    command.arg(&path).arg(&request.id);
    let written = path.clone();
    let then = move |shim: &mut Shim, result: Result<(), String>| {
        drop(std::fs::remove_file(&path));
        let failed = |text| Failure::unknown(format!("OCI runtime update failed: {text}"));
        shim.reply(to, result.map(|()| ().encode_to_vec()).map_err(failed));
    };
    shim.call(&runtime, command, then).map_err(|text| {
        drop(std::fs::remove_file(written));
        Failure::unknown(format!("OCI runtime update failed: {text}"))
    })?;
    Ok(Answer::Later)
}
