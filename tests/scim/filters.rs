//! Looking for people and groups; and filters that are meant to hurt.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use super::wire::{USER, Wire, is_error};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_each_database(peers, "scim::filters_find_whom_they_mean", find_whom_they_mean);
    trials.extend(on_each_database(peers, "scim::pages_are_stable_and_complete", pages));
    trials.extend(on_each_database(peers, "scim::abuse_28_filter_bombs", filter_bombs));
    trials.extend(on_each_database(peers, "scim::what_is_answered_can_be_chosen", projections));
    trials
}

/// The userNames that a filter of people finds, in order.
async fn found(wire: &Wire, filter: &str) -> Result<Vec<String>> {
    let body = json!({ "filter": filter, "sortBy": "userName" });
    let listed = wire.post("/Users/.search", &body).await?.done()?;
    let all = listed["Resources"].as_array().cloned().unwrap_or_default();
    Ok(all.iter().filter_map(|it| it["userName"].as_str()).map(str::to_owned).collect())
}

async fn find_whom_they_mean(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    for name in ["dana", "omar", "lena"] {
        wire.person(name).await?;
    }
    let bare = json!({ "schemas": [USER], "userName": "Bare_100%" });
    wire.post("/Users", &bare).await?.done()?;
    let (dana, lena, omar, bare) = ("dana@example.com", "lena@example.com", "omar@example.com", "Bare_100%");
    let cases: &[(&str, &[&str])] = &[
        ("userName eq \"DANA@example.com\"", &[dana]),
        ("externalId eq \"dana\"", &[dana]),
        ("externalId eq \"DANA\"", &[]),
        ("externalId sw \"DA\"", &[]),
        ("userName sw \"d\"", &[dana]),
        ("userName ew \"A@EXAMPLE.COM\"", &[dana, lena]),
        ("userName co \"_100%\"", &[bare]),
        ("userName co \"ar\"", &[bare, omar]),
        ("externalId pr", &[dana, lena, omar]),
        ("not (externalId pr)", &[bare]),
        ("externalId ne \"dana\"", &[bare, lena, omar]),
        ("not (externalId eq \"dana\")", &[bare, lena, omar]),
        ("emails.value eq \"Lena@example.com\"", &[lena]),
        ("emails[type eq \"WORK\" and value co \"lena\"]", &[lena]),
        ("emails[type eq \"work\"].value eq \"omar@example.com\"", &[omar]),
        ("emails[type eq \"home\"].value eq \"omar@example.com\"", &[]),
        ("emails[type eq \"a].b\"].value eq \"x\" or userName eq \"Bare_100%\"", &[bare]),
        ("emails.value ne \"lena@example.com\"", &[bare, dana, omar]),
        ("emails pr", &[dana, lena, omar]),
        ("active eq true and (userName sw \"d\" or userName sw \"l\")", &[dana, lena]),
        ("active eq \"True\" and externalId pr", &[dana, lena, omar]),
        ("active eq false", &[]),
        ("meta.lastModified gt \"2020-01-01T00:00:00Z\" and externalId pr", &[dana, lena, omar]),
        ("meta.created lt \"2020-01-01T00:00:00Z\"", &[]),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"lena@example.com\"", &[lena]),
        ("userName gt \"lena\" and externalId pr", &[lena, omar]),
        ("meta.resourceType eq \"user\" and userName sw \"b\"", &[bare]),
    ];
    for (filter, expected) in cases {
        let found = found(&wire, filter).await?;
        ensure!(found == *expected, "{filter}: {found:?}");
    }
    for bad in
        ["password sw \"a\"", "nobody eq \"x\"", "userName", "userName eq", "active gt true", "members pr"]
    {
        let answer = wire.post("/Users/.search", &json!({ "filter": bad })).await?;
        is_error(&answer, 400, Some("invalidFilter"))?;
    }
    wire.house.close().await
}

/// Every page together is everybody, each once, in one order; totals are told; too much is cut.
async fn pages(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    for number in 0..23 {
        wire.person(&format!("person-{number}")).await?;
    }
    wire.group("builders", &[]).await?;
    let mut seen: Vec<String> = Vec::new();
    for start in [1, 11, 21, 31] {
        let page = wire.get(&format!("/Users?startIndex={start}&count=10")).await?.done()?;
        ensure!(page["totalResults"] == 23 && page["startIndex"] == start, "{page}");
        let some = page["Resources"].as_array().cloned().unwrap_or_default();
        ensure!(page["itemsPerPage"] == some.len(), "{page}");
        seen.extend(some.iter().filter_map(|it| it["id"].as_str()).map(str::to_owned));
    }
    let mut each = seen.clone();
    each.sort();
    each.dedup();
    ensure!(seen.len() == 23 && each.len() == 23, "{} of {}", each.len(), seen.len());
    let all = wire.get("/Users").await?.done()?;
    let ids: Vec<&str> =
        all["Resources"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str()).collect();
    ensure!(ids == seen, "another order");
    let none = wire.get("/Users?count=0").await?.done()?;
    ensure!(none["totalResults"] == 23 && none["Resources"] == json!([]), "{none}");
    let low = wire.get("/Users?startIndex=-5&count=-3").await?.done()?;
    ensure!(low["startIndex"] == 1 && low["itemsPerPage"] == 0, "{low}");
    let everything = wire.post("/.search", &json!({ "startIndex": 20, "count": 10 })).await?.done()?;
    let kinds: Vec<&Value> = everything["Resources"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| &it["meta"]["resourceType"])
        .collect();
    ensure!(everything["totalResults"] == 24 && kinds.len() == 5 && kinds[4] == "Group", "{everything}");
    is_error(&wire.get("/Users?count=many").await?, 400, Some("invalidValue"))?;
    wire.house.close().await
}

/// Twenty thousand parentheses, a literal of five megabytes, a question for passwords.
async fn filter_bombs(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    wire.person("dana").await?;
    let many = format!("{}userName pr{}", "(".repeat(20_000), ")".repeat(20_000));
    let nested = format!("{}userName pr{}", "not (".repeat(500), ")".repeat(500));
    let chain = vec!["userName pr"; 300].join(" or ");
    let long = format!("userName eq \"{}\"", "a".repeat(100_000));
    for bomb in [many, nested, chain, long, "password sw \"a\"".to_owned()] {
        let answer = wire.post("/Users/.search", &json!({ "filter": bomb })).await?;
        is_error(&answer, 400, Some("invalidFilter"))?;
        let said = json!([{ "op": "remove", "path": format!("emails[{bomb}]") }]);
        let id = wire.get("/Users").await?.done()?["Resources"][0]["id"].clone();
        let path = format!("/Users/{}", id.as_str().unwrap_or_default());
        let answer = wire.patch(&path, said).await?;
        ensure!(answer.status == 400, "{}", answer.text);
    }
    let huge = json!({ "filter": format!("userName eq \"{}\"", "a".repeat(5 * 1024 * 1024)) });
    // Where the server hangs up before all of it is sent, the answer may be lost on the way.
    if let Ok(answer) = wire.ask(Method::POST, "/Users/.search", Some(&huge)).await {
        is_error(&answer, 413, None)?;
    }
    ensure!(wire.get("/Users").await?.done()?["totalResults"] == 1);
    wire.house.close().await
}

async fn projections(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let dana = wire.person("dana").await?;
    wire.group("builders", &[&dana]).await?;
    let path = format!("/Users/{dana}");
    let some = wire.get(&format!("{path}?attributes=userName,name.givenName,emails.value")).await?.done()?;
    let expected = json!({
        "schemas": [USER], "id": dana, "userName": "dana@example.com", "name": { "givenName": "dana" },
        "emails": [{ "value": "dana@example.com" }],
    });
    ensure!(some == expected, "{some}");
    let rest =
        wire.get(&format!("{path}?excludedAttributes=groups,{USER}:emails,name.familyName")).await?.done()?;
    ensure!(rest["groups"].is_null() && rest["emails"].is_null() && rest["userName"].is_string(), "{rest}");
    ensure!(rest["name"] == json!({ "givenName": "dana" }), "{rest}");
    let whole = wire.get(&path).await?.done()?;
    ensure!(whole["groups"][0]["display"] == "builders", "{whole}");
    let answer = wire.get(&path).await?;
    let etag = answer.header("etag").to_owned();
    ensure!(whole["meta"]["version"] == etag.as_str() && !etag.is_empty(), "{whole}");
    let known = wire.ask_with(Method::GET, &path, None, &[("if-none-match", &etag)]).await?;
    ensure!(known.status == 304 && known.text.is_empty(), "{}", known.status);
    wire.house.close().await
}
