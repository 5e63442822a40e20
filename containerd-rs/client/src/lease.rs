//! Leases: what is made under one is not collected while it lasts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proto::containerd::services::leases::v1::{
    AddResourceRequest, CreateRequest, DeleteRequest, Lease as Record, ListRequest, Resource,
};

use crate::connect::Client;
use crate::error::Result;

/// A lease that is deleted when dropped; it expires by itself if the process dies before.
#[derive(Debug)]
pub struct Lease {
    id: String,
    client: Client,
    live: bool,
}

impl Lease {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A client whose creations belong to the lease.
    pub fn client(&self) -> Client {
        self.client.under_lease(&self.id)
    }

    /// Ends the lease now.
    ///
    /// # Errors
    /// The daemon can't answer; the lease then expires by its label.
    pub async fn end(mut self, sync: bool) -> Result<()> {
        self.live = false;
        self.client.delete_lease(&self.id, sync).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.live {
            return;
        }
        let (client, id) = (self.client.clone(), self.id.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = client.delete_lease(&id, false).await {
                    tracing::warn!(lease = id, %error, cause = error.message(), "a lease is left to expire");
                }
            });
        }
    }
}

impl Client {
    /// A lease that ends after `lifetime` at the latest.
    ///
    /// # Errors
    /// The daemon can't answer.
    pub async fn lease(&self, lifetime: Duration) -> Result<Lease> {
        let labels =
            BTreeMap::from([("containerd.io/gc.expire".to_owned(), rfc3339(SystemTime::now() + lifetime))]);
        let record = self.create_lease("", labels).await?;
        Ok(Lease { id: record.id, client: self.clone(), live: true })
    }

    /// Creates a lease that lasts until deleted; an empty id lets the daemon choose.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`](crate::Kind::AlreadyExists) for a taken id.
    pub async fn create_lease(&self, id: &str, labels: BTreeMap<String, String>) -> Result<Record> {
        let mut service = self.leases_service();
        let request = self.request(CreateRequest { id: id.to_owned(), labels });
        Ok(self.once("create lease", id, service.create(request)).await?.lease.unwrap_or_default())
    }

    /// Deletes a lease; one that isn't there is as good.
    ///
    /// # Errors
    /// The daemon can't answer.
    pub async fn delete_lease(&self, id: &str, sync: bool) -> Result<()> {
        let answer = self
            .repeat("delete lease", id, || {
                let (mut service, request) =
                    (self.leases_service(), self.request(DeleteRequest { id: id.to_owned(), sync }));
                async move { service.delete(request).await }
            })
            .await;
        match answer {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Lists the leases that match any of `filters`.
    ///
    /// # Errors
    /// A filter can't be parsed.
    pub async fn leases(&self, filters: &[String]) -> Result<Vec<Record>> {
        let answer = self
            .repeat("list leases", "", || {
                let (mut service, request) =
                    (self.leases_service(), self.request(ListRequest { filters: filters.to_vec() }));
                async move { service.list(request).await }
            })
            .await?;
        Ok(answer.leases)
    }

    /// Puts a thing under a lease; `kind` is `content`, `images` or `snapshots/NAME`.
    ///
    /// # Errors
    /// There is no such lease.
    pub async fn add_to_lease(&self, lease: &str, kind: &str, id: &str) -> Result<()> {
        let message = AddResourceRequest {
            id: lease.to_owned(),
            resource: Some(Resource { id: id.to_owned(), r#type: kind.to_owned() }),
        };
        self.repeat("add to lease", lease, || {
            let (mut service, request) = (self.leases_service(), self.request(message.clone()));
            async move { service.add_resource(request).await }
        })
        .await
    }
}

fn rfc3339(time: SystemTime) -> String {
    prost_types::Timestamp::from(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_written_as_rfc_3339() {
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400)), "1970-01-02T00:00:00Z");
    }
}
