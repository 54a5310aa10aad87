//! Versions of a secret in a real KV engine.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{ProblemKind, SecretValue},
    secrets::{Place, RemoteEngine, vault::Vault},
};
use reqwest::Method;
use serde_json::json;

use super::{by_role, by_token, config, foreign, ours, refused, vault, with_openbao};
use crate::peers::{Mount, OpenBao, Peers};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    vec![
        with_openbao(peers, "versions", versions),
        with_openbao(peers, "every_byte_comes_back", every_byte_comes_back),
        with_openbao(peers, "one_of_two_writers_wins", one_of_two_writers_wins),
        with_openbao(peers, "as_many_versions_are_kept_as_said", as_many_versions_are_kept_as_said),
        with_openbao(peers, "a_foreign_place_keeps_its_other_fields", a_foreign_place_keeps_its_other_fields),
        with_openbao(peers, "a_foreign_place_is_never_made", a_foreign_place_is_never_made),
        with_openbao(peers, "what_is_no_value_is_named", what_is_no_value_is_named),
        with_openbao(peers, "namespaces", namespaces),
    ]
}

async fn mounted(bao: &OpenBao) -> Result<(Mount, Vault)> {
    let mount = bao.mount().await?;
    let vault = vault(config(&bao.address, &mount.path, by_role(&mount.role)))?;
    Ok((mount, vault))
}

async fn value(vault: &Vault, place: &Place, version: Option<u64>) -> Result<Option<(Vec<u8>, u64)>> {
    let stored = vault.read(place, version).await?;
    Ok(stored.map(|it| (it.value.expose().to_vec(), it.version)))
}

async fn versions(bao: OpenBao) -> Result<()> {
    let (mount, vault) = mounted(&bao).await?;
    let place = ours("DATABASE_URL");
    ensure!(vault.newest(&place).await? == 0 && value(&vault, &place, None).await?.is_none());
    ensure!(vault.write(&place, &"one".to_owned().into(), 0).await? == 1);
    ensure!(vault.write(&place, &"two".to_owned().into(), 1).await? == 2);
    ensure!(value(&vault, &place, None).await? == Some((b"two".to_vec(), 2)));
    ensure!(value(&vault, &place, Some(1)).await? == Some((b"one".to_vec(), 1)));
    ensure!(value(&vault, &place, Some(9)).await?.is_none());

    vault.delete(&place, &[2]).await?;
    ensure!(value(&vault, &place, None).await?.is_none() && vault.newest(&place).await? == 2);
    vault.undelete(&place, &[2]).await?;
    ensure!(value(&vault, &place, Some(2)).await? == Some((b"two".to_vec(), 2)));
    vault.destroy(&place, &[1]).await?;
    vault.undelete(&place, &[1]).await?;
    ensure!(value(&vault, &place, Some(1)).await?.is_none());

    // Where others look for it, and what they find.
    let seen = bao.kv_get(&mount, "reports/sandbox@supa-team/DATABASE_URL").await?;
    ensure!(seen.context("not at its path")?["data"] == json!({ "value": "two" }));
    // Doing it again, or where nothing is, is no failure.
    vault.delete(&ours("NOTHING"), &[1]).await?;
    vault.destroy(&place, &[1, 7]).await?;
    Ok(())
}

async fn every_byte_comes_back(bao: OpenBao) -> Result<()> {
    let (_, vault) = mounted(&bao).await?;
    let all: Vec<u8> = (0..=255).collect();
    let values: [Vec<u8>; 7] = [
        Vec::new(),
        all,
        "<&>\u{2028}\u{fffd}\u{feff}\r\n\t\"\\é\u{1f511}".into(),
        vec![0; SecretValue::LONGEST],
        vec![b'a'; SecretValue::LONGEST],
        vec![b'<'; SecretValue::LONGEST],
        b"aGVsbG8=\n".to_vec(),
    ];
    for (index, bytes) in (0..).zip(values) {
        let place = ours("BYTES");
        vault.write(&place, &SecretValue::new(bytes.clone()), index).await?;
        let read = value(&vault, &place, None).await?;
        ensure!(read == Some((bytes, index + 1)), "value {index} came back changed");
    }
    Ok(())
}

async fn one_of_two_writers_wins(bao: OpenBao) -> Result<()> {
    let (mount, vault) = mounted(&bao).await?;
    let place = ours("A");
    let (left, right) = ("left hunter2".to_owned().into(), "right hunter2".to_owned().into());
    let (a, b) = tokio::join!(vault.write(&place, &left, 0), vault.write(&place, &right, 0));
    let loser = match (a, b) {
        (Ok(1), loser) | (loser, Ok(1)) => loser,
        other => anyhow::bail!("nobody won: {other:?}"),
    };
    refused(loser, ProblemKind::PreconditionFailed, &format!("{}/data/reports", mount.path))?;
    refused(vault.write(&place, &left, 5).await, ProblemKind::PreconditionFailed, "nothing was written")?;
    // Also one that writes past us.
    bao.kv_put(&mount, "reports/sandbox@supa-team/A", json!({ "value": "theirs" })).await?;
    refused(vault.write(&place, &left, 1).await, ProblemKind::PreconditionFailed, "another version")?;
    ensure!(value(&vault, &place, None).await? == Some((b"theirs".to_vec(), 2)));
    Ok(())
}

async fn as_many_versions_are_kept_as_said(bao: OpenBao) -> Result<()> {
    let (mount, vault) = mounted(&bao).await?;
    let place = ours("A");
    for number in 0..6 {
        vault.write(&place, &number.to_string().into(), number).await?;
    }
    let metadata = bao.kv_metadata(&mount, "reports/sandbox@supa-team/A").await?.context("no metadata")?;
    ensure!(metadata["max_versions"] == 4 && metadata["oldest_version"] == 3, "{metadata}");
    ensure!(value(&vault, &place, Some(2)).await?.is_none());
    ensure!(value(&vault, &place, Some(3)).await?.is_some());
    Ok(())
}

async fn a_foreign_place_keeps_its_other_fields(bao: OpenBao) -> Result<()> {
    let (mount, vault) = mounted(&bao).await?;
    let fields = json!({ "password": "old", "port": 9_007_199_254_740_991_u64, "nested": { "a": [1.10] } });
    bao.kv_put(&mount, "team/db", fields).await?;
    let place = foreign(&mount.path, "team/db", "password");
    ensure!(value(&vault, &place, None).await? == Some((b"old".to_vec(), 1)));
    ensure!(vault.newest(&place).await? == 1);
    ensure!(vault.write(&place, &"new".to_owned().into(), 1).await? == 2);
    let now = bao.kv_get(&mount, "team/db").await?.context("it is gone")?;
    let kept = json!({ "password": "new", "port": 9_007_199_254_740_991_u64, "nested": { "a": [1.10] } });
    ensure!(now["data"] == kept, "{now}");
    let late = vault.write(&place, &"late".to_owned().into(), 1).await;
    refused(late, ProblemKind::PreconditionFailed, "team/db")?;

    let wrong = foreign(&mount.path, "team/db", "passwort");
    refused(vault.read(&wrong, None).await, ProblemKind::EngineFault, "there is no field 'passwort'")?;
    let number = foreign(&mount.path, "team/db", "port");
    refused(vault.read(&number, None).await, ProblemKind::EngineFault, "'port' is not text")?;
    let binary = vault.write(&place, &SecretValue::new(vec![0xff]), 2).await;
    refused(binary, ProblemKind::InvalidRequest, "holds text")?;
    Ok(())
}

async fn a_foreign_place_is_never_made(bao: OpenBao) -> Result<()> {
    let (mount, vault) = mounted(&bao).await?;
    let place = foreign(&mount.path, "team/db", "password");
    refused(vault.write(&place, &"x".to_owned().into(), 0).await, ProblemKind::Conflict, "no live version")?;
    ensure!(bao.kv_metadata(&mount, "team/db").await?.is_none());
    for outcome in [
        vault.delete(&place, &[1]).await,
        vault.undelete(&place, &[1]).await,
        vault.destroy(&place, &[1]).await,
    ] {
        refused(outcome, ProblemKind::Conflict, "belongs to somebody else")?;
    }
    let escaping = foreign(&mount.path, "../../sys/seal", "password");
    refused(vault.read(&escaping, None).await, ProblemKind::InvalidRequest, "no path")?;
    Ok(())
}

async fn what_is_no_value_is_named(bao: OpenBao) -> Result<()> {
    let (mount, vault) = mounted(&bao).await?;
    bao.kv_put(&mount, "reports/sandbox@supa-team/A", json!({ "other": "hunter2" })).await?;
    refused(vault.read(&ours("A"), None).await, ProblemKind::EngineFault, "there is no field 'value'")?;
    let root = vault_of(&bao, "nowhere")?;
    refused(root.read(&ours("A"), None).await, ProblemKind::EngineFault, "there is no such mount")?;
    Ok(())
}

fn vault_of(bao: &OpenBao, mount: &str) -> Result<Vault> {
    vault(config(&bao.address, mount, by_token(&bao.root_token)))
}

async fn namespaces(bao: OpenBao) -> Result<()> {
    let name = crate::peers::unique("ns");
    bao.call(Method::POST, &format!("sys/namespaces/{name}"), Some(json!({}))).await?;
    let kind = json!({ "type": "kv", "options": { "version": "2" } });
    bao.call(Method::POST, &format!("{name}/sys/mounts/kv"), Some(kind)).await?;
    let namespaced = |name: String| {
        let plain = config(&bao.address, "kv", by_token(&bao.root_token));
        vault(port_control::base::config::VaultConfig { namespace: Some(name), ..plain })
    };
    let vault = namespaced(name.clone())?;
    let write = async || vault.write(&ours("A"), &"inside".to_owned().into(), 0).await.ok();
    crate::peers::wait_for("the KV mount", std::time::Duration::from_secs(10), write).await?;
    let path = format!("{name}/kv/data/reports/sandbox@supa-team/A");
    let seen = bao.call(Method::GET, &path, None).await?;
    ensure!(seen["data"]["data"]["value"] == "inside");
    let elsewhere = namespaced("nowhere".to_owned())?.read(&ours("A"), None).await;
    ensure!(elsewhere.is_err(), "a namespace that is not there has a secret");
    Ok(())
}
