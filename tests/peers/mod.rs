//! The real servers that the tests talk to. `tests/run` starts each once and says in the environment
//! where it is; a test that has to stop or disturb one starts its own by `start_private`. Without
//! `tests/run`, there are none.
//!
//! Every test makes itself a corner that no other test touches: a database, a mount, namespaces, a
//! realm.

#![allow(dead_code, unused_imports, reason = "what one story needs of a server, another does not")]

mod browser;
mod kubernetes;
mod oidc_provider;
mod openbao;
mod postgres;
mod postgres_standby;
mod private;
mod process;
mod s3;
mod scim_tester;
mod smtp;

use std::{
    collections::hash_map::RandomState,
    future::Future,
    hash::{BuildHasher, Hasher},
    sync::Once,
    time::Duration,
};

use anyhow::{Context, Result, bail};

pub use browser::{Browser, Page};
pub use kubernetes::{Kubernetes, secret_rules};
pub use oidc_provider::{Client, OidcProvider, Person, Realm};
pub use openbao::{AppRole, Mount, OpenBao, least_policy};
pub use postgres::{Postgres, TestDatabase};
pub use postgres_standby::Standby;
pub use private::{Peer, Private};
pub use s3::{S3, archive_in};
pub use scim_tester::ScimTester;
pub use smtp::{Smtp, Taken};

/// The servers that were started for this run; `None` is one that was left out.
#[derive(Clone)]
pub struct Peers {
    pub postgres: Option<Postgres>,
    pub openbao: Option<OpenBao>,
    pub kubernetes: Option<Kubernetes>,
    pub oidc_provider: Option<OidcProvider>,
    pub s3: Option<S3>,
    pub scim_tester: Option<ScimTester>,
    /// Whether there is one for tests to start.
    pub smtp: bool,
}

impl Peers {
    /// As the environment says. Panics where it says half of something.
    pub fn from_env() -> Self {
        Self {
            postgres: Postgres::from_env(),
            openbao: OpenBao::from_env(),
            kubernetes: Kubernetes::from_env().expect("the cluster's certificate can be read"),
            oidc_provider: OidcProvider::from_env(),
            s3: S3::from_env(),
            scim_tester: ScimTester::from_env(),
            smtp: Smtp::is_there(),
        }
    }
}

/// A variable that `tests/run` sets.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that is there when the one beside it is.
fn needed(name: &str) -> String {
    variable(name).unwrap_or_else(|| panic!("{name} is missing: start the tests by tests/run"))
}

/// A client for plain HTTP on loopback, or for TLS that trusts `authority` alone. It follows no
/// redirect and keeps no cookie.
pub fn http(authority: Option<&str>) -> Result<reqwest::Client> {
    static PROVIDER: Once = Once::new();
    // Somebody else in this process may have been first; either is the same.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let mut trusted = Vec::new();
    if let Some(pem) = authority {
        trusted.push(reqwest::Certificate::from_pem(pem.as_bytes())?);
    }
    Ok(reqwest::Client::builder()
        .tls_certs_only(trusted)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // Tests share a client, and each has a runtime of its own, with which its connections end.
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(30))
        .build()?)
}

/// A name that nobody else has, not even an earlier run on the same server: `prefix-0123456789abcdef`.
pub fn unique(prefix: &str) -> String {
    // The standard library seeds each of these at random, which saves a dependency.
    format!("{prefix}-{:016x}", RandomState::new().build_hasher().finish())
}

/// Waits until `check` gives something, looking every 20 ms; says what it waited for when it gives up.
pub async fn wait_for<T, F, C>(what: &str, limit: Duration, mut check: C) -> Result<T>
where
    C: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let looking = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, looking)
        .await
        .with_context(|| format!("{what}: not within {} s", limit.as_secs()))
}

/// The body of an answer, or an error that says what was asked and what came back.
async fn answer(what: &str, response: reqwest::Response) -> Result<serde_json::Value> {
    let status = response.status();
    let text = response.text().await?;
    if !status.is_success() {
        bail!("{what}: {status}: {text}");
    }
    if text.is_empty() {
        return Ok(serde_json::Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("{what} answered what is no JSON: {text}"))
}
