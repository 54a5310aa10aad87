//! One key of the log takes over from another.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use libtest_mimic::Trial;
use port_control::{
    audit::{
        Checkpoint, LogKeys, Signer, VerifierKey, checkpoint::newest, verifiers, verify::check_database,
    },
    base::ProblemKind,
    keys::{Keys, MasterKey},
    policy::{Action, Resource, Service},
    store::sql,
};

use super::site::Site;
use crate::{
    peers::{Peers, http},
    support::{
        Given, on_each_database,
        program::{Portctl, Server, free_port, port_control, write_private},
        trial, until,
    },
};

const ORIGIN: &str = "example.com/log";

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_each_database(peers, "log::a_key_takes_over_from_another", takes_over);
    trials.push(trial("log::keys_change_beside_a_running_server", beside_a_server));
    trials
}

async fn keys(site: &Site) -> Result<Keys> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("master-key");
    write_private(&file, BASE64.encode(&[7; 32]).as_bytes())?;
    Ok(Keys::open(&site.database, MasterKey::from_file(&file)?, site.ambient.clone()).await?)
}

async fn signer(site: &Site, keys: &Keys) -> Result<Signer> {
    Ok(Signer::with_keys(site.database.clone(), site.ambient.clone(), keys.clone(), ORIGIN).await?)
}

/// Notes something and has it signed; by which of the keys that was.
async fn signed_by(site: &Site, signer: &mut Signer, name: &str, keys: &[&VerifierKey]) -> Result<Vec<bool>> {
    site.note(name).await?;
    signer.sign(&site.log.head()).await?;
    let note = newest(&site.database).await?.context("something was signed")?;
    Ok(keys.iter().map(|key| Checkpoint::open(&note, key).is_ok()).collect())
}

async fn takes_over(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let keys = keys(&site).await?;
    let (mut one, mut other) = (signer(&site, &keys).await?, signer(&site, &keys).await?);
    let changes = LogKeys::new(site.log.clone(), keys.clone(), ORIGIN.to_owned());
    let permit = || site.permits().permit(Service::Operator, Action::Operate, Resource::Keys);
    let old = one.verifier().clone();
    ensure!(signed_by(&site, &mut one, "one", &[&old]).await? == [true]);
    let refused = changes.retire(permit()?, &old.id_text()).await.expect_err("it is the only one");
    ensure!(refused.is(ProblemKind::Conflict), "{refused}");

    let new = changes.add(permit()?).await?;
    let refused =
        changes.retire(permit()?, &old.id_text()).await.expect_err("nothing leads to the new one yet");
    ensure!(refused.is(ProblemKind::Conflict), "{refused}");
    // Nobody tells the signers, and one of them did not even sign before.
    ensure!(signed_by(&site, &mut other, "two", &[&old, &new]).await? == [true, true]);
    ensure!(signed_by(&site, &mut one, "three", &[&old, &new]).await? == [true, true]);

    ensure!(changes.retire(permit()?, "00000000").await.is_err_and(|it| it.is(ProblemKind::NotFound)));
    changes.retire(permit()?, &old.id_text()).await?;
    ensure!(signed_by(&site, &mut one, "four", &[&old, &new]).await? == [false, true]);
    ensure!(signed_by(&site, &mut other, "five", &[&old, &new]).await? == [false, true]);
    ensure!(signed_by(&site, &mut signer(&site, &keys).await?, "six", &[&old, &new]).await? == [false, true]);
    for id in [&old, &new] {
        let refused = changes.retire(permit()?, &id.id_text()).await.expect_err("retired, or the last one");
        ensure!(refused.is(ProblemKind::Conflict), "{refused}");
    }
    let sealed: Vec<(String,)> = site
        .database
        .fetch_all(sql("SELECT id FROM keys WHERE purpose = 'log-signer' AND sealed IS NOT NULL"))
        .await?;
    ensure!(sealed.len() == 1, "the private part of the old key is destroyed");

    let all = verifiers(&keys, ORIGIN).await?;
    ensure!(all == [old.clone(), new.clone()], "{all:?}");
    check_database(&site.database, &all).await?;
    let without = check_database(&site.database, &[new]).await.expect_err("the first is of the old one");
    ensure!(without.is(ProblemKind::LogAltered), "{without}");
    Ok(())
}

fn config(folder: &Path) -> Result<String> {
    write_private(&folder.join("master-key"), BASE64.encode(&[7; 32]).as_bytes())?;
    Ok(format!(
        "administrators = [\"dev/it\"]\ncontact = \"ada@example.com\"\n\
         [database]\nurl = \"sqlite:{0}/port-control.db\"\n[keys]\nmaster_key_file = \"master-key\"\n\
         [engine]\nkind = \"embedded\"\n\
         [log]\norigin = \"port-control.invalid/test\"\npublic = true\npin = \"{0}/log.pin\"\n\
         [[providers]]\nname = \"dev\"\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"port-control\"\n",
        folder.display()
    ))
}

async fn listed(server: &Server) -> Result<Vec<String>> {
    let text = http(None)?.get(format!("{}/audit/v1/vkeys", server.url)).send().await?.text().await?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn said_by(arguments: &[&str]) -> Result<String> {
    let output = port_control(arguments)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Does something that is recorded, and hears of it from the server: on SQLite another process is not heard.
async fn some_life(folder: &Path, server: &Server) -> Result<()> {
    let file = folder.join("port-control.toml").display().to_string();
    let made = said_by(&["recover-access", "--config", &file, "--reason", "a test"])?;
    let token = made.split_whitespace().find(|word| word.starts_with("pcr_")).unwrap_or_default().to_owned();
    let body = serde_json::json!({ "token": token });
    let used = http(None)?.post(format!("{}/api/v1/recovery", server.url)).json(&body).send().await?;
    ensure!(used.status().is_success(), "{}", used.text().await?);
    Ok(())
}

async fn checkpoint_with(server: &Server, keys: &[&str]) -> Result<String> {
    until("a checkpoint by these keys", async || {
        let note =
            http(None)?.get(format!("{}/audit/log/checkpoint", server.url)).send().await?.text().await?;
        let by = |key: &&str| key.parse().is_ok_and(|key| Checkpoint::open(&note, &key).is_ok());
        Ok(keys.iter().all(by).then_some(note))
    })
    .await
}

/// Whoever has seen the log goes on from what she has seen, over both changes.
async fn beside_a_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path(), free_port()?, &config(folder.path())?).await?;
    let file = folder.path().join("port-control.toml").display().to_string();
    some_life(folder.path(), &server).await?;
    let old = listed(&server).await?.remove(0);
    checkpoint_with(&server, &[&old]).await?;
    let portctl = Portctl::new(folder.path(), &server.url, None)?;
    portctl.run(&["audit", "verify", "--key", &old])?.done()?;

    let new = said_by(&["key", "rotate-log", "--config", &file])?;
    ensure!(listed(&server).await? == [old.clone(), new.clone()]);
    some_life(folder.path(), &server).await?;
    checkpoint_with(&server, &[&old, &new]).await?;
    let said = portctl.run(&["audit", "verify"])?.done()?;
    ensure!(said.contains("grew out of"), "{said}");

    let id = old.split('+').nth(1).context("a key has an id")?;
    said_by(&["key", "retire-log", "--config", &file, id])?;
    ensure!(listed(&server).await? == std::slice::from_ref(&new));
    some_life(folder.path(), &server).await?;
    until("the old key signs no more", async || {
        Ok(checkpoint_with(&server, &[&new]).await.ok().filter(|note| note.lines().count() == 5))
    })
    .await?;
    let refused = portctl.run(&["audit", "verify", "--key", &old])?;
    refused.refused(10, "log.key-added")?;
    let said = portctl.run(&["audit", "verify", "--key", &new])?.done()?;
    ensure!(said.contains("grew out of"), "what was seen is signed by both: {said}");
    ensure!(server.stop()?.success(), "{}", server.said());
    // The pin of before is by keys of which one is gone.
    let mut again = Server::start(folder.path(), free_port()?, &config(folder.path())?).await?;
    ensure!(again.stop()?.success(), "{}", again.said());
    Ok(())
}
