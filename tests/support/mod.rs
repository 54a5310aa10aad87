//! What the tests of several rooms share.

#![allow(dead_code, unused_imports, reason = "what one story needs, another does not")]

mod databases;
pub mod house;
pub mod jobs;
pub mod lending;
pub mod program;
pub mod readme;
pub mod siem;
pub mod webhook;
pub mod witness;

use std::{future::Future, sync::Arc};

use anyhow::Context as _;
use libtest_mimic::{Failed, Trial};

pub use databases::{Given, on_each_database, on_postgres, on_sqlite};

use crate::peers::Peers;

/// What is checked of these helpers themselves.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    on_each_database(peers, "support::a_database_of_its_own", databases::a_database_of_its_own)
}

/// Runs an asynchronous test on a runtime of its own.
pub fn block_on(test: impl Future<Output = anyhow::Result<()>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(test);
    // A task that hangs must not keep the run from its end.
    runtime.shutdown_background();
    outcome.map_err(|error| format!("{error:#}").into())
}

/// A test without a database or server of its own.
pub fn trial<Test, Running>(name: &str, test: Test) -> Trial
where
    Test: FnOnce() -> Running + Send + 'static,
    Running: Future<Output = anyhow::Result<()>>,
{
    Trial::test(name, move || block_on(test()))
}

/// Nothing is skipped in silence: names the servers whose tests were not made.
pub fn say_what_is_not_covered(peers: &Peers) {
    let all = [
        ("postgres", peers.postgres.is_some()),
        ("openbao", peers.openbao.is_some()),
        ("kubernetes", peers.kubernetes.is_some()),
        ("oidc-provider", peers.oidc_provider.is_some()),
        ("s3", peers.s3.is_some()),
        ("scim2-tester", peers.scim_tester.is_some()),
        ("smtp", peers.smtp),
    ];
    let absent: Vec<&str> = all.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
    if !absent.is_empty() {
        eprintln!("NOT COVERED, because tests/run did not start it: {}", absent.join(", "));
    }
}

/// Asks again and again until there is an answer; ten seconds at most.
pub async fn until<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let asking = async {
        loop {
            if let Some(found) = ask().await? {
                return Ok(found);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, asking).await.with_context(|| format!("did not happen: {what}"))?
}
