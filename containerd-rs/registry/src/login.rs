//! Showing credentials to a registry, and nothing more.

use http::{Method, StatusCode};

use crate::client::{Ask, Client};
use crate::error::{RegistryError, Result};
use crate::refusal::refusal;

impl Client {
    /// Asks the registry of `domain` whether it takes the credentials of the settings.
    ///
    /// # Errors
    /// Nobody answers, or it doesn't take them.
    pub async fn login(&self, domain: &str) -> Result<()> {
        let mut last = None;
        for endpoint in &self.endpoints(domain)? {
            let asked = async {
                let answer = endpoint.send(Ask::new(Method::GET, String::new(), "")).await?;
                match answer.status() {
                    status if status.is_success() => Ok(()),
                    StatusCode::UNAUTHORIZED => {
                        let url = crate::error::shown(answer.url());
                        let cause = format!("login attempt to {url} failed with status: 401 Unauthorized");
                        Err(RegistryError::Unauthorized { cause })
                    }
                    _ => Err(refusal(answer, &Method::GET, domain).await),
                }
            };
            match asked.await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| RegistryError::Configuration {
            what: format!("no host serves {domain}"),
            source: None,
        }))
    }
}
