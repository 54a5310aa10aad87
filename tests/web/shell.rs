//! What holds around every endpoint: refusals, limits, probes, streams that end.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::api::Limits;
use reqwest::{Body, Method, header};
use serde_json::json;
use sqlx::ConnectOptions as _;

use super::{
    house::{Differently, House, send},
    routes,
};
use crate::{
    peers::Peers,
    support::{Given, on_each_database, on_sqlite},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_sqlite(peers, "web::every_refusal_is_a_problem", every_refusal_is_a_problem),
        on_sqlite(peers, "web::a_time_out_is_a_problem", a_time_out_is_a_problem),
        on_sqlite(peers, "web::whoever_finds_no_place_is_told_to_come_again", no_place),
        on_sqlite(peers, "web::one_network_does_not_take_all_places", one_network_does_not_take_all),
        on_sqlite(peers, "web::so_many_wait_for_events", so_many_wait_for_events),
        on_sqlite(peers, "web::ready_means_that_the_log_is_what_it_was", ready_means_the_log),
        on_each_database(peers, "web::ready_until_the_log_is_closed", ready_until_the_log_is_closed),
        on_sqlite(peers, "web::events_end_with_the_server", events_end_with_the_server),
        on_each_database(peers, "web::events_end_with_the_right_to_see_them", events_end_with_the_right),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn every_refusal_is_a_problem(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let at = "/api/v1/applications/reports/environments/sandbox/secrets/A/versions";
    let nowhere = send(house.request(Method::GET, "/api/v2/nothing")).await?;
    nowhere.is_problem(404, "not-found")?;
    let wrong_method = send(house.as_bearer(&dana, Method::PUT, at)).await?;
    wrong_method.is_problem(405, "method-not-allowed")?;
    ensure!(wrong_method.header("allow").contains("POST"), "{wrong_method:?}");
    let post = |kind: &str, body: Body| {
        send(house.as_bearer(&dana, Method::POST, at).header(header::CONTENT_TYPE, kind).body(body))
    };
    post("text/plain", "{}".into()).await?.is_problem(415, "unsupported-media-type")?;
    post("application/json", "{".into()).await?.is_problem(400, "invalid-request")?;
    post("application/json", "{}".into()).await?.is_problem(400, "invalid-request")?;
    let long = format!("{{\"encoding\":\"utf8\",\"value\":\"{}\"}}", "a".repeat(2 << 20));
    let long = post("application/json", long.into()).await?;
    long.is_problem(413, "too-large")?;
    for path in [
        "/api/v1/requests?role=nonsense",
        "/api/v1/applications/%FF/environments/sandbox/secrets",
        "/api/v1/applications/reports/environments/sandbox/secrets/A/value?version=x",
        "/audit/v1/entries/first/proof",
    ] {
        house.get(&dana, path).await?.is_problem(400, "invalid-request").or_else(|error| {
            // Whether one may is looked at first where that needs nothing of the address.
            if path.starts_with("/audit") { Ok(()) } else { Err(error.context(path)) }
        })?;
    }
    let form = house.by_cookie(&dana, Method::POST, "/sign-out").form(&[("nothing", "")]);
    let form = send(form).await?;
    ensure!(form.status == 400 && form.text.contains("<h1>"), "{form:?}");
    ensure!(form.header("content-security-policy").contains("frame-ancestors 'none'"), "{form:?}");
    Ok(())
}

/// Somebody holds the database's one lock for writing.
async fn a_time_out_is_a_problem(given: Given) -> Result<()> {
    let limits = Limits { answer: Duration::from_millis(300), ..Limits::default() };
    let house = House::open_differently(&given, Differently { limits, ..Differently::default() }).await?;
    let dana = house.example("dana").await?;
    let secret = "/api/v1/applications/reports/environments/sandbox/secrets/A";
    let body = routes::body("versions");
    house.post(&dana, &format!("{secret}/versions"), &body).await?.done()?;
    let mut database = tampered(&given).await?;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut database).await?;
    let read = house.get(&dana, &format!("{secret}/value")).await?;
    read.is_problem(503, "overloaded")?;
    ensure!(read.header("retry-after") == "1" && read.json()["remedy"].is_string(), "{read:?}");
    let wrote = house.post(&dana, &format!("{secret}/versions"), &body).await?;
    wrote.is_problem(503, "outcome-unknown")?;
    ensure!(wrote.json()["remedy"].as_str().is_some_and(|it| it.contains("Idempotency-Key")), "{wrote:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut database).await?;
    Ok(())
}

/// The database of a test, past the server.
async fn tampered(given: &Given) -> Result<sqlx::SqliteConnection> {
    let path = given.url.strip_prefix("sqlite:").context("this is SQLite")?;
    Ok(sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await?)
}

/// A body that never ends.
fn endless() -> Body {
    let first = futures::stream::once(async { Ok::<_, std::io::Error>("{") });
    Body::wrap_stream(futures::StreamExt::chain(first, futures::stream::pending()))
}

async fn no_place(given: Given) -> Result<()> {
    let limits = Limits { at_once: 1, body: Duration::from_secs(3), ..Limits::default() };
    let house = House::bare(&given, Differently { limits, ..Differently::default() }).await?;
    let dana = house.example("dana").await?;
    let slow = || {
        let request = house.as_bearer(&dana, Method::POST, "/api/v1/requests");
        tokio::spawn(send(request.header(header::CONTENT_TYPE, "application/json").body(endless())))
    };
    let mut taken = slow();
    while house.get(&dana, "/api/v1/whoami").await?.status == 200 {
        // It may have come while we were being answered ourselves.
        if taken.is_finished() {
            taken = slow();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused = house.get(&dana, "/api/v1/whoami").await?;
    refused.is_problem(503, "overloaded")?;
    ensure!(refused.header("retry-after") == "1", "{refused:?}");
    let alive = send(house.request(Method::GET, "/healthz")).await?;
    ensure!(alive.status == 200, "a probe finds no place: {alive:?}");
    taken.await??.is_problem(408, "request-timeout")?;
    house.get(&dana, "/api/v1/whoami").await?.done()?;
    Ok(())
}

async fn one_network_does_not_take_all(given: Given) -> Result<()> {
    let limits = Limits { each: 2, body: Duration::from_secs(3), ..Limits::default() };
    let house = House::bare(&given, Differently { limits, ..Differently::default() }).await?;
    // Nobody, whose bodies are read before anything is known of him.
    let slow = || {
        let request = house.request(Method::POST, "/api/v1/logins");
        tokio::spawn(send(request.header(header::CONTENT_TYPE, "application/json").body(endless())))
    };
    let slow = [slow(), slow()];
    tokio::time::sleep(Duration::from_millis(500)).await;
    send(house.request(Method::GET, "/api/v1/version")).await?.is_problem(503, "overloaded")?;
    let elsewhere =
        reqwest::Client::builder().local_address("127.0.0.2".parse::<std::net::IpAddr>()?).build()?;
    let version = send(elsewhere.get(format!("{}/api/v1/version", house.url))).await?;
    ensure!(version.status == 200, "{version:?}");
    for slow in slow {
        slow.await??.is_problem(408, "request-timeout")?;
    }
    send(house.request(Method::GET, "/api/v1/version")).await?.done()?;
    Ok(())
}

async fn so_many_wait_for_events(given: Given) -> Result<()> {
    let limits = Limits { streams: 1, ..Limits::default() };
    let house = House::open_differently(&given, Differently { limits, ..Differently::default() }).await?;
    let (dana, first) = followed(&house).await?;
    let path = first.url().path().to_owned();
    house.get(&dana, &path).await?.is_problem(503, "overloaded")?;
    drop(first);
    let free = || async {
        let answer = house.as_bearer(&dana, Method::GET, &path).send().await?;
        Ok(answer.status() == 200)
    };
    house.eventually("the place is free again", free).await
}

async fn readiness(house: &House) -> Result<(u16, String)> {
    let answer = send(house.request(Method::GET, "/readyz")).await?;
    Ok((answer.status.as_u16(), answer.text))
}

async fn ready_means_the_log(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    house.example("dana").await?;
    ensure!(readiness(&house).await? == (200, "ready\n".to_owned()), "{:?}", readiness(&house).await?);
    let mut database = tampered(&given).await?;
    sqlx::raw_sql("UPDATE log_head SET root = zeroblob(32)").execute(&mut database).await?;
    ensure!(
        readiness(&house).await? == (503, "not ready: log-altered\n".to_owned()),
        "{:?}",
        readiness(&house).await?
    );
    let alive = send(house.request(Method::GET, "/healthz")).await?;
    ensure!(alive.status == 200, "{alive:?}");
    Ok(())
}

async fn ready_until_the_log_is_closed(given: Given) -> Result<()> {
    let house = House::bare(&given, Differently::default()).await?;
    house.example("dana").await?;
    ensure!(readiness(&house).await?.0 == 200, "{:?}", readiness(&house).await?);
    house.app.log.drain().await;
    ensure!(
        readiness(&house).await? == (503, "not ready: not-recorded\n".to_owned()),
        "{:?}",
        readiness(&house).await?
    );
    Ok(())
}

/// Dana's request with somebody who follows it, after its first event.
async fn followed(house: &House) -> Result<(super::house::Person, reqwest::Response)> {
    let dana = house.example("dana").await?;
    let path = format!("/api/v1/requests/{}/events", house.a_request(&dana).await?);
    let mut events = house.as_bearer(&dana, Method::GET, &path).send().await?;
    let first = events.chunk().await?.context("no event")?;
    ensure!(String::from_utf8_lossy(&first).contains("event: request"), "{first:?}");
    Ok((dana, events))
}

/// Reads to the end, which has to come soon.
async fn ends(mut events: reqwest::Response) -> Result<()> {
    let reading = async { while let Ok(Some(_)) = events.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(3), reading).await.context("the events went on")
}

async fn events_end_with_the_server(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (_, events) = followed(&house).await?;
    house.stop.cancel();
    ends(events).await?;
    tokio::time::timeout(Duration::from_secs(5), house.close()).await.context("the server went on")?
}

async fn events_end_with_the_right(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, events) = followed(&house).await?;
    let ada = house.example("ada").await?;
    let path = format!("/api/v1/people/{}/suspend", dana.id);
    house.post(&ada, &path, &json!({ "reason": "a test" })).await?.done()?;
    ends(events).await
}
