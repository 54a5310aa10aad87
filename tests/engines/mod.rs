//! Engines outside our database, against real servers and against what only pretends to be one.

mod kv;
mod leases;
mod nonsense;
mod outages;
mod rights;
mod sign_in;
mod static_role;

use std::{future::Future, sync::Arc};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{
        Ambient, Problem, ProblemKind, Timestamp,
        config::{Credential, VaultAuth, VaultConfig},
    },
    secrets::{Place, vault::Vault},
};

use crate::{
    peers::{AppRole, OpenBao, Peers},
    support::block_on,
};

/// All of them; those that need OpenBao only where it is.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut all = nonsense::trials();
    if peers.openbao.is_some() {
        all.extend(
            [
                leases::trials(peers),
                kv::trials(peers),
                sign_in::trials(peers),
                rights::trials(peers),
                outages::trials(peers),
                static_role::trials(peers),
            ]
            .into_iter()
            .flatten(),
        );
    }
    all
}

/// A test with the shared OpenBao.
fn with_openbao<Test, Running>(peers: &Arc<Peers>, name: &str, test: Test) -> Trial
where
    Test: Fn(OpenBao) -> Running + Send + 'static,
    Running: Future<Output = Result<()>> + 'static,
{
    let bao = peers.openbao.clone();
    Trial::test(format!("engines::vault::{name}"), move || {
        block_on(async move { test(bao.context("OpenBao was not started")?).await })
    })
}

fn config(address: &str, mount: &str, auth: VaultAuth) -> VaultConfig {
    VaultConfig {
        address: address.parse().expect("a test's address is a URL"),
        ca_file: None,
        namespace: None,
        mount: mount.to_owned(),
        max_versions: 4,
        auth,
    }
}

fn by_role(role: &AppRole) -> VaultAuth {
    VaultAuth::AppRole {
        mount: "approle".to_owned(),
        role_id: role.role_id.clone(),
        secret_id: Credential::Value(role.secret_id.clone().into()),
    }
}

fn by_token(token: &str) -> VaultAuth {
    VaultAuth::Token(Credential::Value(token.to_owned().into()))
}

fn vault(config: VaultConfig) -> Result<Vault> {
    // reqwest wants a TLS provider; the peers' client installs it.
    crate::peers::http(None)?;
    Ok(Vault::new(config, Ambient::system(Timestamp::EPOCH))?)
}

fn ours(name: &str) -> Place {
    Place::Ours(format!("reports/sandbox@supa-team/{name}").parse().expect("a test's secret is one"))
}

fn foreign(mount: &str, path: &str, field: &str) -> Place {
    Place::Foreign { mount: mount.to_owned(), path: path.to_owned(), field: field.to_owned() }
}

/// That it failed so, naming what it should, and telling nothing that it must not.
fn refused<T>(outcome: Result<T, Problem>, kind: ProblemKind, says: &str) -> Result<Problem> {
    let problem = outcome.err().context("it was not refused")?;
    let text = problem.to_string();
    ensure!(problem.is(kind) && text.contains(says), "wanted {} with '{says}', got {problem:?}", kind.slug());
    ensure!(!text.contains("hunter2"), "a value or token is told: {text}");
    Ok(problem)
}
