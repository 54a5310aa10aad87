//! What the least policy allows is enough, and all that it allows is needed.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::ProblemKind,
    secrets::{
        RemoteEngine,
        vault::{ForeignPath, least_policy},
    },
};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{by_role, by_token, config, foreign, ours, refused, vault, with_openbao};
use crate::peers::{Mount, OpenBao, Peers};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    vec![
        with_openbao(peers, "the_least_policy_is_enough", the_least_policy_is_enough),
        with_openbao(peers, "the_least_policy_allows_nothing_beyond", the_least_policy_allows_nothing_beyond),
        with_openbao(
            peers,
            "check_names_what_is_missing_and_what_is_more",
            check_names_what_is_missing_and_what_is_more,
        ),
        with_openbao(peers, "a_right_that_is_missing_is_named", a_right_that_is_missing_is_named),
    ]
}

fn declared(mount: &str) -> Vec<ForeignPath> {
    let place =
        |path: &str, writable| ForeignPath { mount: mount.to_owned(), path: path.to_owned(), writable };
    vec![place("team/db", true), place("team/mail", false)]
}

/// Our mount with exactly the least policy, and a mount of others.
async fn least(bao: &OpenBao) -> Result<(Mount, Mount)> {
    let others = bao.mount().await?;
    let text = |path: &str| least_policy(path, &declared(&others.path)).expect("the mounts have names");
    let mount = bao.mount_with(text).await?;
    bao.kv_put(&others, "team/db", json!({ "password": "old", "user": "u" })).await?;
    bao.kv_put(&others, "team/mail", json!({ "password": "mail" })).await?;
    bao.kv_put(&others, "team/else", json!({ "password": "else" })).await?;
    Ok((mount, others))
}

async fn the_least_policy_is_enough(bao: OpenBao) -> Result<()> {
    let (mount, others) = least(&bao).await?;
    // Not even the policy `default` beside it.
    let role = format!("auth/approle/role/{}", mount.role.name);
    bao.call(Method::POST, &role, Some(json!({ "token_no_default_policy": true }))).await?;
    let vault = vault(config(&bao.address, &mount.path, by_role(&mount.role)))?;
    let place = ours("A");
    ensure!(vault.write(&place, &"one".to_owned().into(), 0).await? == 1);
    ensure!(vault.write(&place, &"two".to_owned().into(), 1).await? == 2);
    ensure!(vault.newest(&place).await? == 2 && vault.read(&place, Some(1)).await?.is_some());
    vault.delete(&place, &[1]).await?;
    vault.undelete(&place, &[1]).await?;
    vault.destroy(&place, &[1]).await?;
    let db = foreign(&others.path, "team/db", "password");
    ensure!(vault.newest(&db).await? == 1 && vault.read(&db, None).await?.is_some());
    ensure!(vault.write(&db, &"new".to_owned().into(), 1).await? == 2);
    ensure!(vault.read(&foreign(&others.path, "team/mail", "password"), None).await?.is_some());
    let lines = vault.check_with(&declared(&others.path)).await?;
    ensure!(lines.is_empty(), "{lines:?}");
    Ok(())
}

async fn the_least_policy_allows_nothing_beyond(bao: OpenBao) -> Result<()> {
    let (mount, others) = least(&bao).await?;
    let token = bao.sign_in(&mount.role).await?;
    let (ours, theirs) = (&mount.path, &others.path);
    let list = Method::from_bytes(b"LIST")?;
    for (method, path) in [
        (Method::DELETE, format!("{ours}/metadata/reports/sandbox/A")),
        (list.clone(), format!("{ours}/metadata/reports")),
        (Method::DELETE, format!("{ours}/data/reports/sandbox/A")),
        (Method::GET, format!("{ours}/config")),
        (Method::POST, format!("{ours}/config")),
        (Method::GET, format!("{theirs}/data/team/else")),
        (Method::GET, format!("{theirs}/data/team/db/below")),
        (Method::POST, format!("{theirs}/data/team/db")),
        (Method::POST, format!("{theirs}/data/team/mail")),
        (Method::POST, format!("{theirs}/metadata/team/db")),
        (Method::POST, format!("{theirs}/destroy/team/db")),
        (Method::POST, format!("{theirs}/delete/team/db")),
        (list, format!("{theirs}/metadata/team")),
        (Method::GET, "sys/policies/acl/root".to_owned()),
        (Method::POST, format!("sys/policies/acl/{}", mount.policy)),
        (Method::POST, "auth/token/create".to_owned()),
        (Method::POST, format!("sys/mounts/{theirs}/tune")),
    ] {
        let body = json!({ "data": { "password": "taken" }, "versions": [1] });
        let answer = bao.request(method.clone(), &path, &token).json(&body).send().await?;
        ensure!(answer.status() == StatusCode::FORBIDDEN, "{method} {path}: {}", answer.status());
    }
    let vault = vault(config(&bao.address, ours, by_role(&mount.role)))?;
    let mail = vault.write(&foreign(theirs, "team/mail", "password"), &"x".to_owned().into(), 1).await;
    refused(mail, ProblemKind::EngineFault, "permission is denied")?;
    Ok(())
}

async fn check_names_what_is_missing_and_what_is_more(bao: OpenBao) -> Result<()> {
    let policy = |mount: &str| {
        format!(
            r#"path "{mount}/data/*" {{ capabilities = ["read", "delete"] }}
               path "sys/policies/acl/*" {{ capabilities = ["update"] }}"#
        )
    };
    let mount = bao.mount_with(policy).await?;
    let vault = vault(config(&bao.address, &mount.path, by_role(&mount.role)))?;
    let lines = vault.check_with(&[]).await?.join("\n");
    for expected in [
        format!("it may not create, update at {}/data/*", mount.path),
        format!("it may not update at {}/destroy/*", mount.path),
        format!("it may delete at {}/data/*, which is not needed", mount.path),
        "it may write policies (sys/policies/acl/port-control), which is not needed".to_owned(),
    ] {
        ensure!(lines.contains(&expected), "'{expected}' is missing in:\n{lines}");
    }
    let root = super::vault(config(&bao.address, &mount.path, by_token(&bao.root_token)))?;
    let lines = root.check_with(&[]).await?.join("\n");
    ensure!(lines.contains("root token"), "{lines}");
    let nowhere = super::vault(config(&bao.address, "nowhere", by_token(&bao.root_token)))?;
    let lines = nowhere.check_with(&[]).await?.join("\n");
    ensure!(lines.contains("vault secrets enable -path=nowhere"), "{lines}");
    Ok(())
}

async fn a_right_that_is_missing_is_named(bao: OpenBao) -> Result<()> {
    let mount = bao.mount().await?;
    let vault = vault(config(&bao.address, &mount.path, by_role(&mount.role)))?;
    vault.write(&ours("A"), &"x".to_owned().into(), 0).await?;
    bao.set_policy(&mount.policy, r#"path "elsewhere" { capabilities = ["read"] }"#).await?;
    let problem =
        refused(vault.read(&ours("A"), None).await, ProblemKind::EngineFault, "permission is denied")?;
    ensure!(problem.to_string().contains(&format!("{}/data/reports", mount.path)), "{problem}");
    ensure!(problem.to_string().contains("port-control vault-policy"), "{problem}");
    // Given back, it works again by itself.
    bao.set_policy(&mount.policy, &least_policy(&mount.path, &[])?).await?;
    ensure!(vault.read(&ours("A"), None).await?.is_some());
    Ok(())
}
