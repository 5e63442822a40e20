//! Changing limits and the restart policy of a container, running or not.

use std::sync::Arc;

use bollard_stubs::models::HostConfig;
use serde_json::Value;

use super::{Container, Containers, config, spec};
use crate::error::{Error, Result};

impl Containers {
    /// Applies the given fields.
    ///
    /// # Errors
    /// 400 for a bad limit, 500 when the kernel refuses it: the record then keeps the old ones.
    pub async fn update_limits(&self, container: &Arc<Container>, body: Value) -> Result<()> {
        let Value::Object(given) = config::without_nulls(body) else {
            return Err(Error::invalid("invalid JSON: an object is wanted"));
        };
        let _operation = container.operation.lock().await;
        let record = container.record();
        let mut merged = serde_json::to_value(&record.host_config)
            .map_err(|source| Error::caused("encode limits", source))?;
        for (key, value) in given {
            let unset = value.as_i64() == Some(0)
                || value.as_str() == Some("")
                || (key == "RestartPolicy"
                    && value.get("Name").and_then(Value::as_str).is_none_or(str::is_empty));
            if !unset {
                merged[key] = value;
            }
        }
        let mut host: HostConfig = serde_json::from_value(merged)
            .map_err(|source| Error::invalid(format!("invalid JSON: {source}")))?;
        config::complete_limits(&mut host)?;
        if record.state.status.has_process() {
            let resources = serde_json::to_vec(&spec::resources(&host))
                .map_err(|source| Error::caused("encode limits", source))?;
            let any =
                prost_types::Any { type_url: proto::typeurl::LINUX_RESOURCES.to_owned(), value: resources };
            self.client.update_task(&container.id, any).await.map_err(|error| {
                Error::system(format!("Cannot update container {}: {}", container.id, error.message()))
            })?;
        }
        container.update(|record| {
            record.host_config = host;
            Ok(())
        })?;
        self.event(container, "update", &[]);
        Ok(())
    }
}
