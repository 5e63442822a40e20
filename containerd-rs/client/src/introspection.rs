//! What the daemon is and can.

use std::collections::BTreeMap;

use proto::containerd::services::introspection::v1::{Plugin, PluginsRequest};
use proto::containerd::services::namespaces::v1::{CreateNamespaceRequest, Namespace};
use proto::containerd::services::version::v1::VersionResponse;
use proto::grpc::health::v1::{HealthCheckRequest, health_check_response::ServingStatus};

use crate::connect::Client;
use crate::error::Result;

impl Client {
    /// The daemon's version.
    ///
    /// # Errors
    /// It is away.
    pub async fn version(&self) -> Result<VersionResponse> {
        self.repeat("version", "", || {
            let (mut service, request) = (self.version_service(), self.request(()));
            async move { service.version(request).await }
        })
        .await
    }

    /// Says whether the daemon serves.
    ///
    /// # Errors
    /// It is away.
    pub async fn is_serving(&self) -> Result<bool> {
        let mut service = self.health_service();
        let answer =
            self.once("health", "", service.check(self.request(HealthCheckRequest::default()))).await?;
        Ok(answer.status == ServingStatus::Serving as i32)
    }

    /// Creates a namespace; one that is there is as good.
    ///
    /// # Errors
    /// The name is no namespace's.
    pub async fn ensure_namespace(&self, name: &str, labels: BTreeMap<String, String>) -> Result<()> {
        let message = CreateNamespaceRequest { namespace: Some(Namespace { name: name.to_owned(), labels }) };
        let answer = self
            .repeat("create namespace", name, || {
                let (mut service, request) = (self.namespaces_service(), self.request(message.clone()));
                async move { service.create(request).await }
            })
            .await;
        match answer {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        }
    }

    /// The plugins that match any of `filters`.
    ///
    /// # Errors
    /// A filter can't be parsed.
    pub async fn plugins(&self, filters: &[String]) -> Result<Vec<Plugin>> {
        let answer = self
            .repeat("list plugins", "", || {
                let (mut service, request) = (
                    self.introspection_service(),
                    self.request(PluginsRequest { filters: filters.to_vec() }),
                );
                async move { service.plugins(request).await }
            })
            .await?;
        Ok(answer.plugins)
    }
}
