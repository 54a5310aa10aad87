//! Vault and OpenBao: values in a KV engine of version 2.
//!
//! Ours is `MOUNT/data/APPLICATION/ENVIRONMENT[@TEAM]/NAME`, field `value`; where `encoding` beside it
//! says `base64`, the value is that (what is no text could not lie in JSON otherwise). Everything is
//! written by compare-and-set. At a place that somebody else made, one field is read, or changed by a
//! patch, which leaves the others to Vault; nothing is made, deleted or destroyed there.
//! (Vault's own merging holds numbers as floating point: an integer beyond 2^53 in another field is
//! rounded by it, as by `vault kv patch`.)
//!
//! Requests are vaultrs's, or made like them; sending is our own (`transport`). Every call ends
//! within five seconds, and nothing is remembered of a server that did not answer: the next call tries
//! again.

mod call;
mod check;
mod check_leases;
mod encoding;
mod kv;
mod lease;
mod place;
mod policy;
mod problems;
mod session;
mod sign_in;
mod static_role;
mod transport;

use std::{collections::HashSet, fmt, future::Future, sync::Mutex, time::Duration};

use async_trait::async_trait;
use rustify::Endpoint;

pub use policy::{ForeignPath, lease_addition, lease_policy, least_policy, static_role_addition};

use self::{
    call::{Answer, Call},
    place::At,
    session::Held,
    transport::Transport,
};
use super::{Place, RemoteEngine, Stored, VersionState};
use crate::base::{Ambient, Problem, Result, SecretValue, config::VaultConfig};

/// How long a call takes at the longest, signing in included.
const LONGEST: Duration = Duration::from_secs(5);

/// Vault or OpenBao, signed in to when it is first needed.
pub struct Vault {
    config: VaultConfig,
    transport: Transport,
    ambient: Ambient,
    held: tokio::sync::Mutex<Held>,
    /// Paths whose number of kept versions we have set.
    kept: Mutex<HashSet<String>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("address", &self.transport.address()).finish_non_exhaustive()
    }
}

impl Vault {
    /// Asks nothing yet, so that the server starts while Vault is down. rustls's provider has to be
    /// installed before. Let [`Self::run`] run beside, which keeps the token alive at rest.
    ///
    /// # Errors
    /// `invalid-configuration` where the CA file, mount or namespace cannot be used.
    pub fn new(config: VaultConfig, ambient: Ambient) -> Result<Self> {
        place::checked("mount", &config.mount)?;
        let transport = Transport::new(&config)?;
        let (held, kept) = (tokio::sync::Mutex::default(), Mutex::default());
        Ok(Self { config, transport, ambient, held, kept })
    }

    /// One request, whatever the status of its answer. `path` is for people.
    async fn exchange(&self, path: &str, call: Option<Call>, token: Option<&str>) -> Result<Answer> {
        let call = call.ok_or_else(|| Problem::internal(format!("no request for {path} can be made")))?;
        self.transport.send(call, token).await.map_err(|failure| self.failed(path, failure))
    }

    /// One request of vaultrs, signed in.
    async fn ask<E: Endpoint>(&self, path: &str, endpoint: &E) -> Result<Answer> {
        self.ask_with(path, || Call::of(endpoint)).await
    }

    /// One request, signed in; once more with another token where the first had lost its rights.
    async fn ask_with(&self, path: &str, make: impl Fn() -> Option<Call>) -> Result<Answer> {
        let session = self.session().await?;
        let answer = self.exchange(path, make(), Some(&session.token)).await?;
        if answer.status != 403 {
            return Ok(answer);
        }
        match self.after_denial(&session).await? {
            Some(session) => self.exchange(path, make(), Some(&session.token)).await,
            None => Ok(answer),
        }
    }

    /// A place in words, also where it is none.
    fn shown(&self, place: &Place) -> String {
        At::of(place, &self.config.mount).map_or_else(|_| "a secret".to_owned(), |at| at.below("data"))
    }

    async fn bounded<T>(&self, what: &str, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match tokio::time::timeout(LONGEST, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unavailable(what, &format!("not within {} s", LONGEST.as_secs()))),
        }
    }
}

#[async_trait]
impl RemoteEngine for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn own_mount(&self) -> &str {
        self.config.mount.trim_matches('/')
    }

    async fn read(&self, place: &Place, version: Option<u64>) -> Result<Option<Stored>> {
        self.bounded(&self.shown(place), self.read_version(place, version)).await
    }

    async fn write(&self, place: &Place, value: &SecretValue, expected: u64) -> Result<u64> {
        self.bounded(&self.shown(place), self.write_version(place, value, expected)).await
    }

    async fn newest(&self, place: &Place) -> Result<u64> {
        self.bounded(&self.shown(place), self.newest_version(place)).await
    }

    async fn state(&self, place: &Place, version: u64) -> Result<VersionState> {
        self.bounded(&self.shown(place), self.version_state(place, version)).await
    }

    async fn delete(&self, place: &Place, versions: &[u64]) -> Result<()> {
        self.bounded(&self.shown(place), self.delete_versions(place, versions)).await
    }

    async fn undelete(&self, place: &Place, versions: &[u64]) -> Result<()> {
        self.bounded(&self.shown(place), self.undelete_versions(place, versions)).await
    }

    async fn destroy(&self, place: &Place, versions: &[u64]) -> Result<()> {
        self.bounded(&self.shown(place), self.destroy_versions(place, versions)).await
    }
}
