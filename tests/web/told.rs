//! What an answer says that would else look like another: an empty list, a request of before, a slip of the finger,
//! an id.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use super::house::{House, Person, send};
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "web::an_empty_list_of_deliveries_says_why", why_none_is_listed),
        on_each_database(peers, "web::a_request_of_before_is_told_from_a_new_one", asked_before),
        on_each_database(peers, "web::a_name_that_the_log_never_had_is_told", never_named),
        on_each_database(peers, "web::people_of_the_log_have_names", names),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn why_none_is_listed(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, aya) = (house.example("dana").await?, house.example("aya").await?);
    let hers = house.get(&dana, "/api/v1/deliveries").await?.done()?;
    ensure!(hers["items"].as_array().map(Vec::len) == Some(1) && hers["notice"].is_null(), "{hers}");
    let none = house.get(&aya, "/api/v1/deliveries").await?.done()?;
    let notice = none["notice"].as_str().context("no word about it")?;
    ensure!(none["items"].as_array().is_some_and(Vec::is_empty), "{none}");
    ensure!(notice.contains("'people-admin'") && notice.contains("'it'"), "{notice}");
    ensure!(!notice.contains("reports"), "it names what she may not see: {notice}");
    let denials = house.get(&aya, "/audit/v1/entries?action=see-delivery").await?.done()?;
    ensure!(denials["items"].as_array().is_some_and(Vec::is_empty), "a list is no denial: {denials}");
    Ok(())
}

async fn asked_before(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let asks = async |reason: &str| {
        let body = json!({ "action": "reveal", "at": "reports/production", "for": "1h", "reason": reason });
        house.post(&dana, "/api/v1/requests", &body).await?.done()
    };
    let (first, second) = (asks("INC-123").await?, asks("INC-124").await?);
    ensure!(first["created"] == true && second["created"] == false, "{first} {second}");
    ensure!(second["request"]["id"] == first["request"]["id"], "one request");
    ensure!(second["request"]["reason"] == "INC-123", "it keeps its reason: {second}");
    Ok(())
}

async fn entries(house: &House, aya: &Person, query: &[(&str, &str)]) -> Result<Value> {
    send(house.as_bearer(aya, Method::GET, "/audit/v1/entries").query(query)).await?.done()
}

async fn never_named(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, aya) = (house.example("dana").await?, house.example("aya").await?);
    let path = "/api/v1/applications/reports/environments/sandbox/secrets/DATABASE_URL/versions";
    house.post(&dana, path, &json!({ "encoding": "utf8", "value": "one" })).await?.done()?;
    let reports = ("application", "reports");
    for (query, what, nearest) in [
        (vec![("action", "secret.sett")], "action", "secret.set"),
        (vec![("action", "secrets.")], "action", "secret.set"),
        (vec![("application", "report")], "application", "reports"),
        (vec![("scope", "develper")], "scope", "developer"),
        (vec![("secret", "DATABASE_URI")], "secret", "reports/sandbox/DATABASE_URL"),
        (
            vec![("secret", "DATABASE_URL"), reports, ("environment", "sandbx")],
            "secret",
            "reports/sandbox/DATABASE_URL",
        ),
    ] {
        let page = entries(&house, &aya, &query).await?;
        let told = &page["unknown"][0];
        ensure!(told["what"] == what && told["nearest"][0] == nearest, "{query:?}: {page}");
    }
    // What could be there and is not, and what is there at another time, are clean answers.
    for query in [
        vec![("action", "person.deactivated")],
        vec![("action", "secret.set"), ("since", "2099-01-01")],
        vec![("secret", "DATABASE_URL"), ("decision", "deny")],
    ] {
        let page = entries(&house, &aya, &query).await?;
        let is_clean = page["items"].as_array().is_some_and(Vec::is_empty) && page["unknown"] == json!([]);
        ensure!(is_clean, "{query:?}: {page}");
    }
    Ok(())
}

async fn names(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, aya) = (house.example("dana").await?, house.example("aya").await?);
    let nobody = format!("per_{}", "0".repeat(32));
    let at = |ids: &str| format!("/audit/v1/names?ids={ids}");
    let told = house.get(&aya, &at(&format!("{},{nobody}", dana.id))).await?.done()?;
    ensure!(told["items"].as_array().map(Vec::len) == Some(1), "{told}");
    ensure!(told["items"][0]["id"] == dana.id.to_string(), "{told}");
    ensure!(told["items"][0]["email"] == "dana@example.com", "{told}");
    house.get(&dana, &at(&dana.id.to_string())).await?.is_problem(403, "denied")?;
    house.get(&aya, &at("service/broker")).await?.is_problem(400, "invalid-request")?;
    let many = vec![nobody; 101].join(",");
    house.get(&aya, &at(&many)).await?.is_problem(400, "invalid-request")
}
