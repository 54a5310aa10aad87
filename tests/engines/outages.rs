//! A Vault that is sealed, hangs or is gone: a clear end in bounded time, and it heals by itself.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{Problem, ProblemKind},
    secrets::RemoteEngine,
};
use tokio::time::timeout;

use super::{by_role, config, ours, refused, vault, with_openbao};
use crate::peers::{OpenBao, Peers};

/// A call's own limit is 5 s; the rest is a busy machine's.
const BOUND: Duration = Duration::from_secs(8);

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    vec![with_openbao(peers, "down_and_back", |_| down_and_back())]
}

async fn ends<T>(call: impl Future<Output = Result<T, Problem>>, says: &str) -> Result<()> {
    let outcome = timeout(BOUND, call).await?;
    refused(outcome, ProblemKind::EngineUnavailable, says).map(drop)
}

async fn down_and_back() -> Result<()> {
    let mut bao = OpenBao::start_private().await?;
    let mount = bao.mount().await?;
    let vault = vault(config(&bao.address, &mount.path, by_role(&mount.role)))?;
    let place = ours("A");
    vault.write(&place, &"one hunter2".to_owned().into(), 0).await?;

    bao.pause();
    let address = bao.address.clone();
    ends(vault.read(&place, None), &address).await?;
    ends(vault.write(&place, &"hunter2".to_owned().into(), 7), "data/reports/sandbox@supa-team/A").await?;
    ends(vault.check_with(&[]), &address).await?;
    bao.resume();
    ensure!(vault.read(&place, None).await?.is_some_and(|it| it.version == 1));

    bao.kill();
    ends(vault.read(&place, None), &address).await?;
    ends(vault.newest(&place), &address).await?;
    bao.start_again().await?;
    ensure!(vault.read(&place, None).await?.is_some_and(|it| it.version == 1));
    ensure!(vault.write(&place, &"two".to_owned().into(), 1).await? == 2);

    bao.seal().await?;
    ends(vault.read(&place, None), "").await?;
    ends(vault.check_with(&[]), "").await?;
    bao.start_again().await?;
    ensure!(vault.read(&place, None).await?.is_some_and(|it| it.version == 2));
    Ok(())
}
