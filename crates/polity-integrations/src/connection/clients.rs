//! The clients that grants were made with: an app's credentials at its provider.

use std::sync::Arc;

use async_trait::async_trait;
use polity_grants::{
    client::{App, Credentials},
    grant::Grant,
    manager::{self, Apps},
    provider::{Catalogue, Provider},
    store::StoreError,
};
use polity_kernel::{Ctx, Secret};

use super::{Error, SECRETS, model::OauthApp, store};

/// Knows every client. Cheap to clone.
#[derive(Clone)]
pub(super) struct Clients {
    pub ctx: Ctx,
    pub catalogue: Arc<Catalogue>,
}

impl Clients {
    /// The provider of an app.
    pub fn provider(&self, app: &OauthApp) -> Result<Arc<Provider>, Error> {
        let gone = || Error::Provider(format!("the catalogue has no provider {:?} any more", app.provider));
        self.catalogue.get(&app.provider).cloned().ok_or_else(gone)
    }

    /// The client of an app, with its secret.
    pub fn of_app(&self, app: &OauthApp) -> Result<App, Error> {
        let opened = app
            .client_secret
            .as_ref()
            .map(|sealed| self.ctx.secrets.open_sealed(SECRETS, &app.id, sealed));
        let opened = opened.transpose().map_err(|error| Error::Internal(error.to_string()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(App {
            provider: self.provider(app)?,
            credentials: Credentials {
                client_id: app.client_id.clone(),
                client_secret: opened.map(|bytes| Secret::from(text(&bytes))),
                signing_key: None,
            },
        })
    }
}

#[async_trait]
impl Apps for Clients {
    /// A grant's owner is its app.
    async fn app(&self, grant: &Grant) -> Result<App, manager::Error> {
        let unavailable = |error: &dyn std::fmt::Display| StoreError::Unavailable(error.to_string());
        let mut read = self.ctx.db.read().await.map_err(|error| unavailable(&error))?;
        let found = store::apps::find(&mut read, &grant.owner).await;
        let app = found.map_err(|error| unavailable(&error))?;
        let gone = || manager::Error::Misconfigured("the app of the grant is gone".to_owned());
        self.of_app(&app.ok_or_else(gone)?)
            .map_err(|error| manager::Error::Misconfigured(error.to_string()))
    }
}
