//! The keys that an issuer publishes (OpenID Connect Discovery 1.0): kept for an hour, and looked for anew
//! where a token is signed by one that is not among them, once a minute at most.

use std::{sync::Arc, time::Duration};

use openidconnect::{JsonWebKeySet, JsonWebKeySetUrl, core::CoreJsonWebKeySet};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::{
    jwt::{Disbelief, Expected, Verified, verify},
    oidc::{BoundedClient, NoAnswer},
};
use crate::base::{Ambient, Result, Timestamp};

/// How long keys are believed.
const LIFE: Duration = Duration::from_hours(1);
/// How often unknown keys make us look for new ones at most.
const EVERY: Duration = Duration::from_mins(1);

/// An issuer's keys.
pub(super) struct PublishedKeys {
    issuer: Url,
    /// As it stands in tokens and in the discovery document.
    text: String,
    client: BoundedClient,
    ambient: Ambient,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: Option<(Arc<CoreJsonWebKeySet>, Timestamp)>,
    /// When an unknown key last made us look.
    looked: Option<Timestamp>,
}

/// Why a token could not be verified at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoKeys {
    /// The issuer was not reached.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// What it publishes is not what an issuer publishes.
    #[error("{0}")]
    Nonsense(&'static str),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: Url,
}

impl PublishedKeys {
    /// Talks to nobody yet. The address has been checked with the configuration.
    pub(super) fn new(issuer: &str, ambient: Ambient) -> Result<Self> {
        let url: Url = issuer.parse().map_err(|_| crate::base::Problem::internal("an issuer is no URL"))?;
        let client = BoundedClient::new(&url)?;
        Ok(Self { issuer: url, text: issuer.to_owned(), client, ambient, known: Mutex::default() })
    }

    /// What a token of this issuer says, where it is to be believed.
    pub(super) async fn verify(
        &self,
        token: &str,
        audience: &str,
    ) -> Result<Result<Verified, Disbelief>, NoKeys> {
        let expected = Expected { issuer: &self.text, audience, now: self.ambient.now() };
        let keys = self.keys().await?;
        let outcome = verify(token, &keys, expected);
        if outcome != Err(Disbelief::UnknownKey) {
            return Ok(outcome);
        }
        match self.new_keys().await? {
            Some(keys) => Ok(verify(token, &keys, expected)),
            None => Ok(outcome),
        }
    }

    /// The keys, an hour old at most.
    pub(super) async fn keys(&self) -> Result<Arc<CoreJsonWebKeySet>, NoKeys> {
        let mut known = self.known.lock().await;
        let now = self.ambient.now();
        if let Some((keys, read_at)) = &known.keys
            && now.since(*read_at) < LIFE
        {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(self.fetch().await?);
        known.keys = Some((Arc::clone(&keys), now));
        Ok(keys)
    }

    /// The keys read anew because one was unknown; nothing where that was done a moment ago.
    async fn new_keys(&self) -> Result<Option<Arc<CoreJsonWebKeySet>>, NoKeys> {
        let mut known = self.known.lock().await;
        let now = self.ambient.now();
        if known.looked.is_some_and(|looked| now.since(looked) < EVERY) {
            return Ok(None);
        }
        known.looked = Some(now);
        let keys = Arc::new(self.fetch().await?);
        known.keys = Some((Arc::clone(&keys), now));
        Ok(Some(keys))
    }

    async fn fetch(&self) -> Result<CoreJsonWebKeySet, NoKeys> {
        let mut url = self.issuer.clone();
        let path = format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let (_, status, document) = self.client.json(&url).await?;
        let discovery: Option<Discovery> =
            document.filter(|_| status == 200).and_then(|it| serde_json::from_value(it).ok());
        let discovery = discovery.ok_or(NoKeys::Nonsense("its discovery document cannot be read"))?;
        if discovery.issuer != self.text {
            return Err(NoKeys::Nonsense("its discovery document names another issuer"));
        }
        self.client.may_call(&discovery.jwks_uri)?;
        JsonWebKeySet::fetch_async(&JsonWebKeySetUrl::from_url(discovery.jwks_uri), &self.client)
            .await
            .map_err(|error| match error {
                openidconnect::DiscoveryError::Request(why) => NoKeys::NoAnswer(why),
                _ => NoKeys::Nonsense("its keys cannot be read"),
            })
    }
}
