//! Connections from an administrator's side.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{Config, ProblemKind, config::ProviderConfig},
    server::{Opening, Server, check},
    store::sql,
};
use reqwest::Method;
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::wire::{GROUP, Wire, is_error};
use crate::{
    peers::Peers,
    support::{Given, house::name, on_each_database},
    web::house::send,
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "scim::two_tokens_are_alive_at_once", two_tokens),
        on_each_database(peers, "scim::a_disabled_connection_says_nothing_more", disabled),
        on_each_database(peers, "scim::check_tries_the_linking", tries_linking),
        on_each_database(peers, "scim::what_is_set_has_to_fit", has_to_fit),
        on_each_database(peers, "scim::what_is_set_can_be_set_anew", set_anew),
        on_each_database(peers, "scim::a_provider_called_like_a_connection_is_refused", told_apart),
        on_each_database(peers, "scim::groups_stay_young_while_the_connection_speaks", stay_young),
        on_each_database(peers, "scim::who_is_let_into_what_is_protected_is_told", protected),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn two_tokens(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let works = |token: String| {
        let request = wire.house.request(Method::GET, "/scim/v2/okta/Users").bearer_auth(token);
        async { Ok::<_, anyhow::Error>(send(request).await?.status.as_u16()) }
    };
    let rotate = || async {
        let path = "/api/v1/scim-connections/okta/rotate";
        let made = wire.house.post(&wire.ada, path, &json!({})).await?.done()?;
        Ok::<_, anyhow::Error>(made["token"].as_str().context("no token")?.to_owned())
    };
    let first = wire.token.clone();
    let second = rotate().await?;
    ensure!(works(first.clone()).await? == 200 && works(second.clone()).await? == 200);
    let third = rotate().await?;
    ensure!(works(first).await? == 401 && works(second.clone()).await? == 200);
    let path = "/api/v1/scim-connections/okta/retire";
    let ended = wire.house.post(&wire.ada, path, &json!({})).await?.done()?;
    ensure!(ended["ended"] == 1, "{ended}");
    ensure!(works(second).await? == 401 && works(third.clone()).await? == 200);
    // A token is nowhere but with whoever was shown it.
    let kept: Vec<(String,)> = wire.house.all(sql("SELECT body FROM openings")).await?;
    ensure!(!kept.iter().any(|(body,)| body.contains(&third)), "a token is in the log");
    wire.house.close().await
}

async fn disabled(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let dana = wire.person("dana").await?;
    let path = "/api/v1/scim-connections/okta/disable";
    let reason = json!({ "reason": "we left Okta" });
    ensure!(wire.house.post(&wire.ada, path, &reason).await?.status == 204);
    let said = json!([{ "op": "replace", "value": { "active": false } }]);
    is_error(&wire.patch(&format!("/Users/{dana}"), said).await?, 403, None)?;
    is_error(&wire.get("/Users").await?, 403, None)?;
    ensure!(wire.status("dana").await? == "active");
    wire.house.post(&wire.ada, path, &reason).await?.is_problem(409, "conflict")?;
    let again = "/api/v1/scim-connections/okta/rotate";
    wire.house.post(&wire.ada, again, &json!({})).await?.is_problem(409, "conflict")?;
    wire.house.close().await
}

async fn tries_linking(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    for name in ["one", "two"] {
        wire.person(name).await?;
    }
    wire.post("/Users", &json!({ "userName": "three" })).await?.done()?;
    let path = "/api/v1/scim-connections/okta/check";
    let found = wire.house.get(&wire.ada, path).await?.done()?;
    ensure!(found["linked"] == 2 && found["unlinked"] == 1 && found["signed_in"] == 0, "{found}");
    ensure!(found["findings"].to_string().contains("nobody who is linked has signed in"), "{found}");
    wire.house.sign_in("one", &[]).await?;
    let found = wire.house.get(&wire.ada, path).await?.done()?;
    ensure!(found["signed_in"] == 1, "{found}");
    ensure!(!found["findings"].to_string().contains("nobody who is linked"), "{found}");
    let shown = wire.house.get(&wire.ada, "/api/v1/scim-connections/okta").await?.done()?;
    ensure!(shown["people"] == 3 && shown["linked"] == 2 && shown["heard_at"].is_string(), "{shown}");
    wire.house.close().await
}

async fn has_to_fit(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    for bad in [
        json!({ "name": "dev", "provider": "dev", "link": "externalId=sub" }),
        json!({ "name": "x", "provider": "nobody", "link": "externalId=sub" }),
        json!({ "name": "x", "provider": "dev", "link": "externalId=oid" }),
        json!({ "name": "x", "provider": "dev", "link": "emails=sub" }),
        json!({ "name": "X y", "provider": "dev", "link": "externalId=sub" }),
        json!({ "name": "x", "provider": "dev", "link": "externalId=sub", "removals_share": 101 }),
    ] {
        let answer = wire.house.post(&wire.ada, "/api/v1/scim-connections", &bad).await?;
        answer.is_problem(400, "invalid-request").with_context(|| bad.to_string())?;
    }
    let twice = json!({ "name": "okta", "provider": "dev", "link": "externalId=sub" });
    let answer = wire.house.post(&wire.ada, "/api/v1/scim-connections", &twice).await?;
    answer.is_problem(409, "already-exists")?;
    wire.house.close().await
}

/// Everything but its name; the link while nobody is linked.
async fn set_anew(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let path = "/api/v1/scim-connections/okta/set";
    let set = |body: serde_json::Value| {
        let (house, ada) = (&wire.house, &wire.ada);
        async move { house.post(ada, path, &body).await }
    };
    for bad in [
        json!({}),
        json!({ "removals_share": 101 }),
        json!({ "removals_within": "soon" }),
        json!({ "provider": "nobody" }),
        json!({ "link": "externalId=oid" }),
    ] {
        set(bad.clone()).await?.is_problem(400, "invalid-request").with_context(|| bad.to_string())?;
    }
    let now =
        set(json!({ "link": "userName=sub", "removals_number": 0, "removals_share": 0 })).await?.done()?;
    ensure!(now["link"] == "userName=sub" && now["removals_number"] == 0, "{now}");
    ensure!(now["may_reactivate"] == true && now["removals_within"] == "1h", "what was not said: {now}");
    // The same once more is no change.
    set(json!({ "removals_number": 0 })).await?.done()?;
    ensure!(wire.entries("connection.changed").await? == 1);
    // By the link of now, and by the limit of now.
    wire.post("/Users", &json!({ "userName": "dana", "externalId": "other" })).await?.done()?;
    ensure!(wire.status("dana").await? == "active");
    let refused = set(json!({ "link": "externalId=sub" })).await?;
    refused.is_problem(409, "conflict")?;
    ensure!(refused.text.contains("1 people"), "{}", refused.text);
    let found = wire.get("/Users?filter=userName%20eq%20%22dana%22").await?.done()?;
    let dana = format!("/Users/{}", found["Resources"][0]["id"].as_str().context("no id")?);
    let gone = json!([{ "op": "replace", "path": "active", "value": false }]);
    wire.patch(&dana, gone).await?.done()?;
    ensure!(wire.status("dana").await? == "suspended", "nobody passes a limit of none");
    let back = json!([{ "op": "replace", "path": "active", "value": true }]);
    wire.patch(&dana, back).await?.done()?;
    set(json!({ "groups": ["eng-*"] })).await?.done()?;
    let body = json!({ "schemas": [GROUP], "displayName": "finance" });
    is_error(&wire.post("/Groups", &body).await?, 403, None)?;
    let nowhere = "/api/v1/scim-connections/nosuch/set";
    wire.house
        .post(&wire.ada, nowhere, &json!({ "removals_number": 1 }))
        .await?
        .is_problem(404, "not-found")?;
    let disable = "/api/v1/scim-connections/okta/disable";
    wire.house.post(&wire.ada, disable, &json!({ "reason": "a test" })).await?;
    set(json!({ "removals_number": 9 })).await?.is_problem(409, "conflict")?;
    wire.house.close().await
}

/// Both would own the same groups: what the one says would be what the other says.
async fn told_apart(given: Given) -> Result<()> {
    let mut config = None;
    let with_another = |it: &mut Config| {
        let another = ProviderConfig { name: name("later"), ..it.providers[0].clone() };
        it.providers.push(another);
        config = Some(it.clone());
    };
    let wire = Wire::open_configured(&given, json!({}), with_another).await?;
    let taken = json!({ "name": "later", "provider": "dev", "link": "externalId=sub" });
    wire.house
        .post(&wire.ada, "/api/v1/scim-connections", &taken)
        .await?
        .is_problem(400, "invalid-request")?;
    // Another replica, which did not know of the provider yet, has made them.
    let like = |called: &'static str| {
        sql("INSERT INTO scim_connections SELECT $1, version, provider, issuer, link_attribute, link_claim, \
             authoritative, may_reactivate, writable_groups, breaker_share, breaker_number, breaker_window, \
             heard_at, created_at, disabled_at FROM scim_connections WHERE name = 'okta'")
        .bind(called)
    };
    let hash = digest(&SHA256, b"pcs_later").as_ref().to_vec();
    let token = sql("INSERT INTO scim_tokens (token_hash, connection, created_at) VALUES ($1, 'later', 0)");
    wire.write(vec![like("later"), like("dev"), token.bind(hash)]).await?;
    let request = wire.house.request(Method::GET, "/scim/v2/later/Users").bearer_auth("pcs_later");
    let answer = send(request).await?;
    is_error(&answer, 401, None)?;
    ensure!(answer.text.contains("both called 'later'"), "{}", answer.text);
    let refused = wire.house.sign_in("dana", &["it"]).await.err().context("Dana is in groups of either")?;
    ensure!(refused.to_string().contains("both called 'dev'"), "{refused}");
    wire.house.close().await?;
    let config = config.context("no configuration")?;
    let refused = Server::open(config.clone(), Opening::Serve).await.err().context("it starts")?;
    ensure!(refused.is(ProblemKind::InvalidConfiguration) && refused.remedy.is_some(), "{refused}");
    let found = check(config).await;
    let failing: Vec<&str> = found.iter().filter(|it| !it.works()).map(|it| it.dependency.as_str()).collect();
    ensure!(failing.contains(&"connection dev"), "{failing:?}");
    Ok(())
}

/// What a connection said of groups is as young as its last word, whatever that was about.
async fn stay_young(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let dana = wire.person("dana").await?;
    wire.group("builders", &[&dana]).await?;
    let age = || async {
        let rows: Vec<(i64,)> =
            wire.house.all(sql("SELECT asserted_at FROM memberships_of_now WHERE source = 'okta'")).await?;
        Ok::<_, anyhow::Error>(rows.first().context("no membership")?.0)
    };
    let said: Vec<(i64,)> =
        wire.house.all(sql("SELECT asserted_at FROM memberships WHERE source = 'okta'")).await?;
    let heard: Vec<(i64,)> = wire.house.all(sql("SELECT heard_at FROM scim_connections")).await?;
    ensure!(age().await? == said[0].0.max(heard[0].0));
    ensure!(wire.entries("connection.heard").await? == 1, "each word is noted, and not only each while");
    wire.house.close().await
}

async fn protected(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let dana = wire.person("dana").await?;
    let documents = json!([{ "file": "scim.yaml", "text": "kind: Source\nname: scim\n---\nkind: Group\nname: builders\n\
        provider: okta\nid: builders\n---\nkind: TrustScope\nname: builders-everywhere\nmembers: {groups: [builders]}\n\
        allows:\n  - actions: [list]\n    applications: all\n    environments: all\n" }]);
    wire.house.post(&wire.ada, "/api/v1/apply", &json!({ "documents": documents })).await?.done()?;
    wire.group("others", &[&dana]).await?;
    wire.group("builders", &[&dana]).await?;
    wire.is_told("scim.group-opens-protected").await?;
    wire.is_told("builders-everywhere").await?;
    ensure!(!wire.told.has("others"), "of a group that opens nothing");
    let session = wire.house.sign_in("dana", &[]).await?;
    let who = wire.house.get(&session, "/api/v1/whoami").await?.done()?;
    let scopes = who["scopes"].as_array().cloned().unwrap_or_default();
    let is_within = scopes.iter().any(|it| it["scope"] == "builders-everywhere" && it["within"] == true);
    ensure!(is_within, "{who}");
    wire.house.close().await
}
