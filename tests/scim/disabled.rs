//! A connection that is out of use: what it said of groups holds no longer, for anything that rests on it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{base::config::AdministratorGroup, store::sql};
use serde_json::{Value, json};

use super::wire::Wire;
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
    web::house::Person,
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "scim::a_disabled_connection_lends_no_group", lends_no_group),
        on_each_database(peers, "scim::disabling_leaves_an_administrator", leaves_an_administrator),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const DISABLE: &str = "/api/v1/scim-connections/okta/disable";
const PRODUCTION: &str = "/api/v1/applications/reports/environments/production/secrets/A/value";
const DECLARED: &str = "kind: Group\nname: builders\nprovider: okta\nid: builders\n---\n\
    kind: TrustScope\nname: builders-look\nmembers: {groups: [builders]}\nallows:\n  - actions: [list]\n    \
    applications: [reports]\n    environments: [sandbox]\n---\n\
    kind: TrustScope\nname: builders-production\nmembers: {groups: [builders]}\n\
    by-request: {approvers: [leads], longest: 1h}\nallows:\n  - actions: [reveal]\n    applications: [reports]\n    \
    environments: [production]\n";

/// Dana, with a session, a place in a trust scope, and a grant that only her group justifies.
async fn dana_at_work(wire: &Wire) -> Result<Person> {
    wire.declare(DECLARED).await?;
    let id = wire.person("dana").await?;
    wire.group("builders", &[&id]).await?;
    let dana = wire.house.sign_in("dana", &[]).await?;
    let omar = wire.house.sign_in("omar", &["leads"]).await?;
    let wish = json!({ "action": "reveal", "at": "reports/production", "for": "1h", "reason": "INC-123" });
    let asked = wire.house.post(&dana, "/api/v1/requests", &wish).await?.done()?;
    let approve = format!("/api/v1/requests/{}/approve", asked["request"]["id"].as_str().context("no id")?);
    wire.house.post(&omar, &approve, &json!({ "reason": "fine" })).await?.done()?;
    wire.house.get(&dana, PRODUCTION).await?.is_problem(404, "not-found")?;
    let met = async || {
        let query = sql("SELECT w.person FROM standings w JOIN people p ON p.id = w.person \
                         WHERE p.id = $1 AND w.facts = p.facts");
        Ok(!wire.house.all::<(String,)>(query.bind(dana.id)).await?.is_empty())
    };
    wire.house.eventually("she is met where she is", met).await?;
    Ok(dana)
}

fn is_within(who: &Value, scope: &str) -> bool {
    let mut scopes = who["scopes"].as_array().into_iter().flatten();
    scopes.any(|it| it["scope"] == scope && it["within"] == true)
}

async fn lends_no_group(given: Given) -> Result<()> {
    let wire = Wire::open(&given).await?;
    let dana = dana_at_work(&wire).await?;
    let who = wire.house.get(&dana, "/api/v1/whoami").await?.done()?;
    ensure!(is_within(&who, "builders-look"), "{who}");
    let reason = json!({ "reason": "we left Okta" });
    ensure!(wire.house.post(&wire.ada, DISABLE, &reason).await?.status == 204);
    // With the answer: in a session that was open before, by a grant that was given before.
    let who = wire.house.get(&dana, "/api/v1/whoami").await?.done()?;
    ensure!(!is_within(&who, "builders-look"), "{who}");
    let answer = wire.house.get(&dana, PRODUCTION).await?;
    ensure!(answer.status == 403, "her grant works: {} {}", answer.status, answer.text);
    let ended = async || {
        let query = sql("SELECT id FROM grants WHERE person = $1 AND ended_because = 'no-longer-justified'");
        Ok(wire.house.all::<(String,)>(query.bind(dana.id)).await?.len() == 1)
    };
    wire.house.eventually("her grant has ended", ended).await?;
    let moved = sql("SELECT idx FROM entries WHERE action = 'person.moved' AND subject = $1");
    ensure!(!wire.house.all::<(i64,)>(moved.bind(dana.id)).await?.is_empty(), "that she moved is not noted");
    // Who recomputes it from the log comes to the same.
    let aya = wire.house.sign_in("aya", &["audit"]).await?;
    let rows = wire.house.get(&aya, "/audit/v1/access").await?.done()?;
    let at = rows["at"].as_str().context("no moment")?;
    let log = wire.house.get(&aya, &format!("/audit/v1/access?at={at}")).await?.done()?;
    ensure!(rows["items"] == log["items"], "by the rows {rows:#}, and by the log {log:#}");
    wire.house.close().await
}

/// Where only its groups make administrators, nobody would be left to make another one.
async fn leaves_an_administrator(given: Given) -> Result<()> {
    let by_okta = AdministratorGroup { provider: "okta".to_owned(), id: "admins".to_owned() };
    let wire = Wire::open_configured(&given, json!({}), |it| it.administrators.push(by_okta)).await?;
    let id = wire.person("ada").await?;
    wire.group("admins", &[&id]).await?;
    // Her sign-in says nothing of groups any more.
    let ada = wire.house.sign_in("ada", &[]).await?;
    let reason = json!({ "reason": "we left Okta" });
    let refused = wire.house.post(&ada, DISABLE, &reason).await?;
    refused.is_problem(409, "conflict")?;
    ensure!(refused.text.contains("nobody would be left"), "{}", refused.text);
    wire.house.sign_in("grace", &["it"]).await?;
    ensure!(wire.house.post(&ada, DISABLE, &reason).await?.status == 204);
    wire.house.get(&ada, "/api/v1/scim-connections").await?.is_problem(403, "denied")?;
    wire.house.close().await
}
