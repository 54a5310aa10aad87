//! Our token: got, renewed, lost, and got again.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{
        ProblemKind,
        config::{Credential, VaultAuth},
    },
    secrets::RemoteEngine,
};
use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{by_role, by_token, config, ours, refused, vault, with_openbao};
use crate::peers::{AppRole, OpenBao, Peers};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    vec![
        with_openbao(peers, "an_expired_token_is_replaced", an_expired_token_is_replaced),
        with_openbao(peers, "a_token_at_rest_is_renewed", a_token_at_rest_is_renewed),
        with_openbao(
            peers,
            "a_revoked_token_is_replaced_once_for_all",
            a_revoked_token_is_replaced_once_for_all,
        ),
        with_openbao(peers, "a_wrong_secret_id_is_named", a_wrong_secret_id_is_named),
        with_openbao(peers, "a_token_from_a_file_is_read_again", a_token_from_a_file_is_read_again),
    ]
}

/// How many tokens a role has out: how often it was signed in with.
async fn revoke_all(bao: &OpenBao, role: &AppRole) -> Result<usize> {
    let mut found = 0;
    let accessors = bao.call(Method::from_bytes(b"LIST")?, "auth/token/accessors", None).await?;
    for accessor in accessors["data"]["keys"].as_array().into_iter().flatten() {
        let body = json!({ "accessor": accessor });
        let looked = bao.call(Method::POST, "auth/token/lookup-accessor", Some(body.clone())).await;
        // Another test's token may have ended meanwhile.
        let Ok(looked) = looked else { continue };
        if looked["data"]["meta"]["role_name"] == role.name.as_str() {
            bao.call(Method::POST, "auth/token/revoke-accessor", Some(body)).await?;
            found += 1;
        }
    }
    Ok(found)
}

async fn an_expired_token_is_replaced(bao: OpenBao) -> Result<()> {
    let mount = bao.mount().await?;
    let role = bao.app_role(&mount.policy, 1).await?;
    let vault = vault(config(&bao.address, &mount.path, by_role(&role)))?;
    vault.write(&ours("A"), &"x".to_owned().into(), 0).await?;
    sleep(Duration::from_millis(1500)).await;
    ensure!(vault.read(&ours("A"), None).await?.is_some());
    Ok(())
}

async fn a_token_at_rest_is_renewed(bao: OpenBao) -> Result<()> {
    let mount = bao.mount().await?;
    let role = bao.app_role(&mount.policy, 2).await?;
    let vault = Arc::new(vault(config(&bao.address, &mount.path, by_role(&role)))?);
    let stop = CancellationToken::new();
    let (runner, until) = (Arc::clone(&vault), stop.clone());
    let running = tokio::spawn(async move { runner.run(until).await });
    sleep(Duration::from_secs(5)).await;
    stop.cancel();
    running.await?;
    // Signed in once: it was the same token all along.
    let tokens = revoke_all(&bao, &role).await?;
    ensure!(tokens == 1, "{tokens} tokens");
    Ok(())
}

async fn a_revoked_token_is_replaced_once_for_all(bao: OpenBao) -> Result<()> {
    let mount = bao.mount().await?;
    let vault = vault(config(&bao.address, &mount.path, by_role(&mount.role)))?;
    vault.write(&ours("A"), &"x".to_owned().into(), 0).await?;
    ensure!(revoke_all(&bao, &mount.role).await? == 1);
    let place = ours("A");
    let reads = futures::future::join_all((0..20).map(|_| vault.read(&place, None))).await;
    for read in reads {
        ensure!(read?.is_some());
    }
    let tokens = revoke_all(&bao, &mount.role).await?;
    ensure!(tokens == 1, "signed in {tokens} times for twenty readers");
    Ok(())
}

async fn a_wrong_secret_id_is_named(bao: OpenBao) -> Result<()> {
    let mount = bao.mount().await?;
    let wrong = AppRole { secret_id: "hunter2".to_owned(), ..mount.role.clone() };
    let vault = vault(config(&bao.address, &mount.path, by_role(&wrong)))?;
    for _ in 0..3 {
        refused(vault.read(&ours("A"), None).await, ProblemKind::EngineFault, "auth/approle/login")?;
    }
    Ok(())
}

async fn a_token_from_a_file_is_read_again(bao: OpenBao) -> Result<()> {
    let mount = bao.mount().await?;
    let file = tempfile::NamedTempFile::new()?;
    let token = VaultAuth::Token(Credential::File(file.path().to_owned()));
    let vault = vault(config(&bao.address, &mount.path, token))?;
    refused(vault.read(&ours("A"), None).await, ProblemKind::InvalidConfiguration, "it is empty")?;
    fs::write(file.path(), format!("{}\n", bao.sign_in(&mount.role).await?))?;
    sleep(Duration::from_millis(2100)).await;
    vault.write(&ours("A"), &"x".to_owned().into(), 0).await?;
    revoke_all(&bao, &mount.role).await?;
    refused(vault.read(&ours("A"), None).await, ProblemKind::EngineFault, "the token is not valid")?;
    fs::write(file.path(), bao.sign_in(&mount.role).await?)?;
    sleep(Duration::from_millis(2100)).await;
    ensure!(vault.read(&ours("A"), None).await?.is_some());
    let hostile = super::vault(config(&bao.address, &mount.path, by_token("hunter2\nX-Vault-Namespace: a")))?;
    refused(hostile.read(&ours("A"), None).await, ProblemKind::EngineFault, "characters")?;
    Ok(())
}
