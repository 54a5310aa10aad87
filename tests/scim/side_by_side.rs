//! Changes that come side by side: none is lost.

use std::sync::Arc;

use anyhow::{Result, ensure};
use futures::future::join_all;
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::json;

use super::wire::{PATCH, Wire};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

/// How many at once.
const AT_ONCE: usize = 50;

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_each_database(peers, "scim::concurrent_members_are_all_kept", without_tags);
    trials.extend(on_each_database(peers, "scim::concurrent_members_with_tags_are_all_kept", with_tags));
    trials
}

async fn people(wire: &Wire) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for number in 0..AT_ONCE {
        ids.push(wire.person(&format!("person-{number}")).await?);
    }
    Ok(ids)
}

async fn without_tags(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let ids = people(&wire).await?;
    let group = wire.group("builders", &[]).await?;
    let path = format!("/Groups/{group}");
    let add = async |id: &String| -> Result<()> {
        let said = json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]);
        loop {
            let answer = wire.patch(&path, said.clone()).await?;
            // On a machine with too much to do nothing happened, and it is said again.
            if answer.status != 503 {
                ensure!(answer.status == 204, "{}: {}", answer.status, answer.text);
                return Ok(());
            }
        }
    };
    for outcome in join_all(ids.iter().map(add)).await {
        outcome?;
    }
    let mut expected = ids.clone();
    expected.sort();
    ensure!(wire.members(&group).await? == expected);
    ensure!(wire.entries("person.groups-changed").await? == AT_ONCE);
    wire.house.close().await
}

/// Who names the version that she has read is told to read again where it moved, and then loses nothing.
async fn with_tags(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let ids = people(&wire).await?;
    let group = wire.group("builders", &[]).await?;
    let path = format!("/Groups/{group}");
    let stale = std::sync::atomic::AtomicUsize::new(0);
    let add = async |id: &String| -> Result<()> {
        let body = json!({ "schemas": [PATCH],
            "Operations": [{ "op": "add", "path": "members", "value": [{ "value": id }] }] });
        loop {
            let read = wire.get(&format!("{path}?excludedAttributes=members")).await?;
            let tag = read.header("etag").to_owned();
            let answer = wire.ask_with(Method::PATCH, &path, Some(&body), &[("if-match", &tag)]).await?;
            if answer.status == 204 {
                return Ok(());
            }
            let is_stale = answer.status == 412;
            ensure!(is_stale || answer.status == 503, "{}: {}", answer.status, answer.text);
            stale.fetch_add(usize::from(is_stale), std::sync::atomic::Ordering::Relaxed);
        }
    };
    for outcome in join_all(ids.iter().map(add)).await {
        outcome?;
    }
    let mut expected = ids.clone();
    expected.sort();
    ensure!(wire.members(&group).await? == expected);
    ensure!(stale.load(std::sync::atomic::Ordering::Relaxed) > 0, "nobody was ever told to read again");
    wire.house.close().await
}
