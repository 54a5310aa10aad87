//! Removals that are announced, held and taken back, from an administrator's side.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;
use serde_json::{Value, json};

use super::wire::{USER, Wire};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "scim::an_announcement_is_of_a_connection_in_use", announcements),
        on_each_database(peers, "scim::who_is_rejected_after_a_delete_is_outside", rejected_after_a_delete),
        on_each_database(peers, "scim::who_came_back_is_listed_as_such", came_back),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const EXPECTED: &str = "/api/v1/removals/expected";

/// A server whose connection removes nobody unless that is announced.
async fn strict(given: &Given) -> Result<Wire> {
    Wire::open_with(given, json!({ "removals_number": 0, "removals_share": 0, "may_reactivate": true })).await
}

fn announcement(connection: Option<&str>, until: &str) -> Value {
    json!({ "number": 1, "until": until, "connection": connection, "reason": "end of the season" })
}

async fn announcements(given: Given) -> Result<()> {
    let wire = strict(&given).await?;
    let unknown = announcement(Some("otka"), "2099-01-01T00:00:00Z");
    let refused = wire.house.post(&wire.ada, EXPECTED, &unknown).await?;
    refused.is_problem(400, "invalid-request")?;
    ensure!(refused.json()["remedy"].as_str().is_some_and(|it| it.contains("okta")), "{}", refused.text);
    let announce = async |connection: Option<&str>, until: &str| {
        let made = wire.house.post(&wire.ada, EXPECTED, &announcement(connection, until)).await?.done()?;
        Ok::<_, anyhow::Error>(made["id"].as_str().context("no id")?.to_owned())
    };
    // The one for any ends first, and is kept for those who have none of their own.
    let any = announce(None, "2098-01-01T00:00:00Z").await?;
    announce(Some("okta"), "2099-01-01T00:00:00Z").await?;
    let (lena, dana) = (wire.person("lena").await?, wire.person("dana").await?);
    ensure!(wire.delete(&format!("/Users/{lena}")).await?.status == 204);
    ensure!(wire.status("lena").await? == "deactivated");
    let left = wire.house.get(&wire.ada, EXPECTED).await?.done()?;
    ensure!(
        left["items"].as_array().is_some_and(|it| it.len() == 1) && left["items"][0]["id"] == any,
        "{left}"
    );
    // Taken back, it lets nobody through.
    let withdraw = format!("{EXPECTED}/{any}/withdraw");
    let reason = json!({ "reason": "it was last year's" });
    wire.house
        .post(&wire.ada, &withdraw, &json!({ "reason": " " }))
        .await?
        .is_problem(400, "invalid-request")?;
    ensure!(wire.house.post(&wire.ada, &withdraw, &reason).await?.status == 204);
    wire.house.post(&wire.ada, &withdraw, &reason).await?.is_problem(409, "conflict")?;
    let nowhere = format!("{EXPECTED}/xpt_{}/withdraw", "0".repeat(32));
    wire.house.post(&wire.ada, &nowhere, &reason).await?.is_problem(404, "not-found")?;
    ensure!(wire.entries("removal.unexpected").await? == 1);
    ensure!(wire.delete(&format!("/Users/{dana}")).await?.status == 204);
    ensure!(wire.status("dana").await? == "suspended");
    wire.house.close().await
}

/// What the identity provider deleted is brought back as a person, and not into its groups.
async fn rejected_after_a_delete(given: Given) -> Result<()> {
    let wire = strict(&given).await?;
    let (lena, dana) = (wire.person("lena").await?, wire.person("dana").await?);
    wire.group("builders", &[&lena, &dana]).await?;
    ensure!(wire.delete(&format!("/Users/{lena}")).await?.status == 204);
    let said = json!([{ "op": "replace", "path": "active", "value": false }]);
    wire.patch(&format!("/Users/{dana}"), said).await?.done()?;
    let all = json!({ "all": true, "reason": "a wrong filter" });
    let decided = wire.house.post(&wire.ada, "/api/v1/removals/reject", &all).await?.done()?;
    let hers: Vec<(String,)> =
        wire.house.all(sql("SELECT person FROM accounts WHERE subject = 'lena'")).await?;
    ensure!(decided["decided"] == 2 && decided["outside"] == json!([hers[0].0]), "{decided}");
    ensure!(wire.status("lena").await? == "active" && wire.status("dana").await? == "active");
    // Assigned again, she is the same person, and back within.
    let body =
        json!({ "schemas": [USER], "userName": "lena@example.com", "externalId": "lena", "active": true });
    wire.post("/Users", &body).await?.done()?;
    let linked: Vec<(String,)> = wire
        .house
        .all(sql("SELECT person FROM scim_users WHERE user_name = 'lena@example.com' AND deleted_at IS NULL"))
        .await?;
    ensure!(linked == hers, "{linked:?}");
    wire.house.close().await
}

async fn came_back(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let lena = wire.house.sign_in("lena", &[]).await?;
    let act = async |act: &str| {
        let path = format!("/api/v1/people/{}/{act}", lena.id);
        wire.house.post(&wire.ada, &path, &json!({ "reason": "a test" })).await
    };
    act("deactivate").await?.done()?;
    let twice = act("deactivate").await?;
    twice.is_problem(409, "conflict")?;
    ensure!(twice.json()["remedy"].as_str().is_some_and(|it| it.contains("leaver show")), "{}", twice.text);
    let line = async || {
        let all = wire.house.get(&wire.ada, "/api/v1/leavers").await?.done()?;
        let items = all["items"].as_array().context("no list")?.clone();
        ensure!(items.len() <= 1, "{items:?}");
        Ok::<_, anyhow::Error>(items.into_iter().next())
    };
    let closed = async || Ok(line().await?.is_some_and(|it| it["outcome"] == "nothing-left"));
    wire.house.eventually("nothing is left of her", closed).await?;
    let gone = line().await?.context("she is not listed")?;
    ensure!(gone["came_back"] == false, "{gone}");
    act("reactivate").await?.done()?;
    let back = line().await?.context("she is listed no more")?;
    ensure!(back["came_back"] == true && back["left"]["sessions"] == 0, "{back}");
    let shown = wire.house.get(&wire.ada, &format!("/api/v1/leavers/{}", lena.id)).await?;
    shown.is_problem(409, "conflict")?;
    ensure!(shown.text.contains("has come back"), "{}", shown.text);
    wire.house.close().await
}
