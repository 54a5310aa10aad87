//! Movers: what the old groups opened is closed in every open session, and she and her teams see it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::sql;
use serde_json::{Value, json};

use super::house::{House, Person, example, send};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

const VALUE: &str = "/api/v1/applications/reports/environments/sandbox/secrets/DATABASE_URL";

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(
            peers,
            "web::abuse_16_a_group_is_removed_in_mid_session_and_its_scope_goes",
            abuse_16,
        ),
        on_each_database(peers, "web::a_mover_and_her_teams_see_what_she_gained_and_lost", seen_by_whom),
        on_each_database(peers, "web::an_apply_moves_people", moved_by_files),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Dana, with a secret in the sandbox and an hour of production.
async fn dana_at_work(house: &House) -> Result<Person> {
    let (dana, omar) = (house.example("dana").await?, house.example("omar").await?);
    let body = json!({ "encoding": "utf8", "value": "hunter2-value" });
    house.post(&dana, &format!("{VALUE}/versions"), &body).await?.done()?;
    let request = house.a_request(&dana).await?;
    let path = format!("/api/v1/requests/{request}/approve");
    house.post(&omar, &path, &json!({ "reason": "fine" })).await?.done()?;
    Ok(dana)
}

async fn met(house: &House, person: &Person) -> Result<()> {
    house
        .eventually("she has been met", async || {
            let query = sql("SELECT w.facts FROM standings w JOIN people p ON p.id = w.person \
                             WHERE w.person = $1 AND w.facts = p.facts");
            Ok(!house.all::<(i64,)>(query.bind(person.id)).await?.is_empty())
        })
        .await
}

async fn has_moved(house: &House, person: &Person, times: usize) -> Result<()> {
    house
        .eventually("it is noted that she has moved", async || {
            let query = sql("SELECT idx FROM entries WHERE action = 'person.moved' AND subject = $1");
            let found = house.all::<(i64,)>(query.bind(person.id.to_string())).await?;
            ensure!(found.len() <= times, "told {} times", found.len());
            Ok(found.len() == times)
        })
        .await
}

async fn abuse_16(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = dana_at_work(&house).await?;
    house.get(&dana, &format!("{VALUE}/value")).await?.done()?;
    // Her provider says, in another browser, that she is in no group any more.
    house.sign_in("dana", &[]).await?;
    house.get(&dana, &format!("{VALUE}/value")).await?.is_problem(403, "denied")?;
    let production = VALUE.replace("sandbox", "production");
    house.get(&dana, &format!("{production}/value")).await?.is_problem(403, "denied")?;
    has_moved(&house, &dana, 1).await?;
    let ended = sql("SELECT ended_because FROM grants WHERE person = $1").bind(dana.id);
    let ended: Vec<(Option<String>,)> = house.all(ended).await?;
    ensure!(ended == [(Some("no-longer-justified".to_owned()),)], "{ended:?}");
    // Back in the group, the grant is not hers again.
    house.sign_in("dana", &["engineering"]).await?;
    house.get(&dana, &format!("{VALUE}/value")).await?.done()?;
    house.get(&dana, &format!("{production}/value")).await?.is_problem(403, "needs-grant")?;
    has_moved(&house, &dana, 2).await?;
    house.close().await
}

async fn seen_by_whom(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = dana_at_work(&house).await?;
    let (omar, aya) = (house.example("omar").await?, house.example("aya").await?);
    let stranger = house.sign_in("stranger", &[]).await?;
    house.sign_in("dana", &["audit"]).await?;
    has_moved(&house, &dana, 1).await?;
    let of_team = house.get(&omar, "/api/v1/moves").await?.done()?;
    let of_dana = house.get(&aya, "/api/v1/moves?person=dana@example.com").await?.done()?;
    let me = house.get(&dana, "/api/v1/whoami").await?.done()?;
    for moved in [&of_team["items"][0], &of_dana["items"][0], &me["moves"][0]] {
        is_danas_move(moved, &dana)?;
    }
    let page = send(house.by_cookie(&dana, reqwest::Method::GET, "/whoami")).await?;
    ensure!(page.text.contains("No longer in the teams supa-team"), "{}", page.text);
    let nothing = house.get(&stranger, "/api/v1/moves").await?.done()?;
    ensure!(nothing["items"] == json!([]), "{nothing}");
    let path = "/api/v1/moves?person=dana@example.com";
    house.get(&stranger, path).await?.is_problem(403, "denied")?;
    house.get(&omar, path).await?.is_problem(403, "denied")?;
    house.close().await
}

fn is_danas_move(moved: &Value, dana: &Person) -> Result<()> {
    ensure!(moved["person"]["id"] == dana.id.to_string(), "{moved}");
    ensure!(moved["teams_lost"] == json!(["supa-team"]) && moved["teams_gained"] == json!([]), "{moved}");
    ensure!(moved["scopes_lost"] == json!(["developer", "production-access"]), "{moved}");
    ensure!(moved["scopes_gained"] == json!(["auditor"]), "{moved}");
    ensure!(moved["grants_ended"].as_array().map(Vec::len) == Some(1), "{moved}");
    Ok(())
}

async fn moved_by_files(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = dana_at_work(&house).await?;
    // Files that move before anybody has looked for the first time are no move of hers.
    met(&house, &dana).await?;
    let ada = house.example("ada").await?;
    let mut files = example()?;
    for file in &mut files {
        let text = file["text"].as_str().context("no text")?;
        if text.contains("kind: Team\n") {
            file["text"] = text.replace("groups: [engineering]", "groups: [audit]").into();
        }
    }
    house.post(&ada, "/api/v1/apply", &json!({ "documents": files })).await?.done()?;
    house.get(&dana, &format!("{VALUE}/value")).await?.is_problem(403, "denied")?;
    has_moved(&house, &dana, 1).await?;
    let me = house.get(&dana, "/api/v1/whoami").await?.done()?;
    let moved = &me["moves"][0];
    ensure!(moved["teams_lost"] == json!(["supa-team"]) && moved["scopes_lost"] == json!([]), "{moved}");
    // The scope is hers still, and opens what is of her teams: nothing.
    ensure!(moved["grants_ended"].as_array().map(Vec::len) == Some(1), "{moved}");
    house.close().await
}
