//! What Okta sends.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;

use super::wire::{GROUP, USER, Wire, id, is_error};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials =
        on_each_database(peers, "scim::okta_provisions_and_takes_away", provisions_and_takes_away);
    trials.extend(on_each_database(peers, "scim::okta_replaces_the_whole", replaces_the_whole));
    trials.extend(on_each_database(peers, "scim::okta_pushes_groups", pushes_groups));
    trials.extend(on_each_database(peers, "scim::a_sign_in_finds_who_was_provisioned", finds_her));
    trials
}

/// Probe, POST, then PATCH without a path: she is gone with the answer.
async fn provisions_and_takes_away(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let probe = "/Users?filter=userName%20eq%20%22lena%40example.com%22&startIndex=1&count=100";
    let none = wire.get(probe).await?.done()?;
    ensure!(none["totalResults"] == 0 && none["Resources"] == json!([]), "{none}");
    let lena = wire.person("lena").await?;
    let found = wire.get(probe).await?.done()?;
    ensure!(found["totalResults"] == 1 && found["Resources"][0]["id"] == lena.as_str(), "{found}");
    ensure!(found["Resources"][0]["active"] == true, "{found}");
    let session = wire.house.sign_in("lena", &[]).await?;
    wire.house.get(&session, "/api/v1/whoami").await?.done()?;
    let path = format!("/Users/{lena}");
    let answer = wire.patch(&path, json!([{ "op": "replace", "value": { "active": false } }])).await?;
    ensure!(answer.status == 200 && answer.json()["active"] == false, "{}", answer.text);
    ensure!(wire.status("lena").await? == "deactivated");
    wire.house.get(&session, "/api/v1/whoami").await?.is_problem(403, "person-deactivated")?;
    // The same again is so already: nothing changes, and no second entry says so.
    let before = wire.house.log_size().await?;
    let again = wire.patch(&path, json!([{ "op": "replace", "value": { "active": false } }])).await?;
    ensure!(again.status == 200 && again.json()["active"] == false, "{}", again.text);
    ensure!(wire.entries("person.deactivated").await? == 1);
    let said: Vec<(String,)> = wire
        .house
        .all(
            port_control::store::sql(
                "SELECT action FROM entries WHERE idx >= $1 AND actor = 'connection/okta'",
            )
            .bind(before),
        )
        .await?;
    ensure!(said.is_empty(), "{said:?}");
    wire.house.close().await
}

/// Some of its applications use PUT for everything.
async fn replaces_the_whole(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let lena = wire.person("lena").await?;
    let path = format!("/Users/{lena}");
    let whole = |active| {
        json!({
            "schemas": [USER], "userName": "lena@example.com", "externalId": "lena", "active": active,
            "displayName": "Lena Example", "password": "hunter2-value",
        })
    };
    let renamed = wire.put(&path, &whole(true)).await?.done()?;
    ensure!(renamed["displayName"] == "Lena Example" && renamed["name"].is_null(), "{renamed}");
    ensure!(!renamed.to_string().contains("hunter2"), "{renamed}");
    let gone = wire.put(&path, &whole(false)).await?.done()?;
    ensure!(gone["active"] == false && wire.status("lena").await? == "deactivated", "{gone}");
    let back = wire.put(&path, &whole(true)).await?.done()?;
    ensure!(back["active"] == true && wire.status("lena").await? == "active", "{back}");
    let kept: Vec<(String,)> =
        wire.house.all(port_control::store::sql("SELECT body FROM scim_users")).await?;
    ensure!(!format!("{kept:?}").contains("hunter2"), "{kept:?}");
    wire.house.close().await
}

/// Groups by name and members, changed by filters of members.
async fn pushes_groups(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let (dana, omar) = (wire.person("dana").await?, wire.person("omar").await?);
    let body = json!({ "schemas": [GROUP], "displayName": "Engineering", "members": [{ "value": dana, "display": "x" }] });
    let made = wire.post("/Groups", &body).await?;
    ensure!(made.status == 201, "{}", made.text);
    let group = id(&made.json())?;
    let path = format!("/Groups/{group}");
    let probe = "/Groups?filter=displayName%20eq%20%22engineering%22&excludedAttributes=members";
    let found = wire.get(probe).await?.done()?;
    ensure!(found["totalResults"] == 1 && found["Resources"][0]["members"].is_null(), "{found}");
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": omar }] }]);
    ensure!(wire.patch(&path, add.clone()).await?.status == 204);
    let both = wire.members(&group).await?;
    ensure!(both.len() == 2, "{both:?}");
    // Her next decision rests on it: the source is the connection, the group the id that files declare.
    let session = wire.house.sign_in("omar", &[]).await?;
    let who = wire.house.get(&session, "/api/v1/whoami").await?.done()?;
    ensure!(who.to_string().contains(&format!("okta/{group}")) || who.to_string().contains(&group), "{who}");
    let entries = wire.entries("person.groups-changed").await?;
    ensure!(wire.patch(&path, add).await?.status == 204);
    ensure!(wire.entries("person.groups-changed").await? == entries, "the same again was recorded");
    let remove = json!([{ "op": "remove", "path": format!("members[value eq \"{dana}\"]") }]);
    ensure!(wire.patch(&path, remove).await?.status == 204);
    ensure!(wire.members(&group).await? == std::slice::from_ref(&omar));
    let rename = json!([{ "op": "replace", "value": { "id": group, "displayName": "Builders" } }]);
    ensure!(wire.patch(&path, rename).await?.status == 204);
    ensure!(wire.get(&path).await?.done()?["displayName"] == "Builders");
    ensure!(wire.delete(&path).await?.status == 204);
    is_error(&wire.get(&path).await?, 404, None)?;
    let left: Vec<(i64,)> = wire
        .house
        .all(port_control::store::sql("SELECT asserted_at FROM memberships WHERE source = 'okta'"))
        .await?;
    ensure!(left.is_empty(), "{left:?}");
    wire.house.close().await
}

/// Who is provisioned first signs in as the same person, and finds her groups.
async fn finds_her(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let dana = wire.person("dana").await?;
    wire.group("builders", &[&dana]).await?;
    let session = wire.house.sign_in("dana", &[]).await?;
    let people: Vec<(String,)> = wire
        .house
        .all(port_control::store::sql("SELECT person FROM scim_users WHERE id = $1").bind(&dana))
        .await?;
    ensure!(people[0].0 == session.id.to_string(), "{people:?}");
    let groups: Vec<(String, String)> = wire
        .house
        .all(
            port_control::store::sql("SELECT source, group_id FROM memberships WHERE person = $1")
                .bind(session.id),
        )
        .await?;
    ensure!(groups.contains(&("okta".to_owned(), "builders".to_owned())), "{groups:?}");
    wire.house.close().await
}
