//! What is posted again under its Idempotency-Key is done once, on both databases.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{api::Limits, store::sql};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;

use super::house::{Answer, Differently, House, Person, send};
use crate::{
    peers::Peers,
    support::{Given, on_each_database, on_postgres},
};

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "idempotency::a_repeat_is_answered_as_the_first_time", a_repeat),
        on_each_database(peers, "idempotency::a_key_is_good_for_one_request", another_request),
        on_each_database(peers, "idempotency::a_key_is_its_persons_own", keys_are_ones_own),
        on_each_database(peers, "idempotency::twenty_at_one_instant_are_one", twenty_at_once),
        on_postgres(peers, "idempotency::two_replicas_are_one", two_replicas),
        on_each_database(peers, "idempotency::what_fails_uses_no_key_up", what_fails),
        on_each_database(peers, "idempotency::a_lost_answer_is_said_to_be_lost", a_lost_answer),
        on_each_database(peers, "idempotency::no_value_is_kept", no_value_is_kept),
        on_each_database(peers, "idempotency::through_outages_each_is_done_once", through_outages),
        on_each_database(peers, "idempotency::a_key_is_forgotten_after_a_day", forgotten),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const SECRET: &str = "/api/v1/applications/reports/environments/sandbox/secrets/A";

async fn set(house: &House, person: &Person, key: &str, value: &str) -> Result<Answer> {
    let body = json!({ "encoding": "utf8", "value": value });
    keyed(house, person, key, &format!("{SECRET}/versions"), &body).await
}

async fn keyed(house: &House, person: &Person, key: &str, path: &str, body: &Value) -> Result<Answer> {
    send(house.as_bearer(person, Method::POST, path).header("Idempotency-Key", key).json(body)).await
}

async fn versions(house: &House) -> Result<usize> {
    Ok(house.all::<(i64,)>(sql("SELECT number FROM versions")).await?.len())
}

async fn a_repeat(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let first = set(&house, &dana, "k-1", "hunter2").await?;
    ensure!(first.status == 201 && first.header("idempotency-replayed").is_empty(), "{first:?}");
    let elsewhere = house.example("dana").await?;
    let size = house.log_size().await?;
    // Quoted, as the draft has it; and by another session of the same person.
    for (person, key) in [(&dana, "k-1"), (&dana, "\"k-1\""), (&elsewhere, "k-1")] {
        let again = set(&house, person, key, "hunter2").await?;
        ensure!(again.status == 201 && again.text == first.text, "{again:?}");
        ensure!(again.header("idempotency-replayed") == "true", "{again:?}");
        ensure!(again.header("content-type") == "application/json", "{again:?}");
    }
    ensure!(versions(&house).await? == 1, "it was done twice");
    ensure!(house.log_size().await? == size, "a repeat left an entry");
    let deleted = keyed(&house, &dana, "k-2", &format!("{SECRET}/delete"), &json!({})).await?;
    let again = keyed(&house, &dana, "k-2", &format!("{SECRET}/delete"), &json!({})).await?;
    ensure!(deleted.status == 204 && again.status == 204 && again.text.is_empty(), "{deleted:?} {again:?}");
    Ok(())
}

async fn another_request(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    set(&house, &dana, "k-1", "hunter2").await?.done()?;
    set(&house, &dana, "k-1", "hunter3").await?.is_problem(422, "idempotency-mismatch")?;
    let elsewhere = keyed(&house, &dana, "k-1", &format!("{SECRET}/generate"), &json!({})).await?;
    elsewhere.is_problem(422, "idempotency-mismatch")?;
    ensure!(versions(&house).await? == 1, "it was done");
    for key in ["", "a b", &"k".repeat(256)] {
        set(&house, &dana, key, "hunter2").await?.is_problem(400, "invalid-request")?;
    }
    Ok(())
}

async fn keys_are_ones_own(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let (dana, omar) = (house.example("dana").await?, house.example("omar").await?);
    set(&house, &dana, "k-1", "hunter2").await?.done()?;
    let other = set(&house, &omar, "k-1", "hunter2").await?;
    ensure!(other.status == 201 && other.header("idempotency-replayed").is_empty(), "{other:?}");
    ensure!(versions(&house).await? == 2, "one person's key stood for another's");
    let (_, gone) = super::permits::gone(&house).await?;
    set(&house, &gone, "k-1", "hunter2").await?.is_problem(403, "person-deactivated")?;
    Ok(())
}

async fn twenty_at_once(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let attempts = (0..20).map(|_| set(&house, &dana, "k-1", "hunter2"));
    let mut texts = Vec::new();
    for answer in futures::future::try_join_all(attempts).await? {
        match answer.status.as_u16() {
            201 => texts.push(answer.text),
            _ => answer.is_problem(409, "conflict")?,
        }
    }
    ensure!(!texts.is_empty() && texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    ensure!(versions(&house).await? == 1, "{} versions", versions(&house).await?);
    set(&house, &dana, "k-1", "hunter2").await?.done()?;
    Ok(())
}

/// The same key at two replicas at one instant, and then at the one that did not do it.
async fn two_replicas(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let replica = House::serve(&given, Differently::default()).await?;
    let dana = house.example("dana").await?;
    for round in 0..10 {
        let key = format!("k-{round}");
        let (here, there) =
            tokio::join!(set(&house, &dana, &key, "hunter2"), set(&replica, &dana, &key, "hunter2"));
        let told: Vec<Answer> = [here?, there?].into_iter().filter(|answer| answer.status == 201).collect();
        ensure!(!told.is_empty(), "nobody did it");
        for again in [&house, &replica] {
            let again = set(again, &dana, &key, "hunter2").await?;
            ensure!(again.status == 201 && again.text == told[0].text, "{again:?}");
            ensure!(again.header("idempotency-replayed") == "true", "{again:?}");
        }
    }
    ensure!(versions(&house).await? == 10, "{} versions", versions(&house).await?);
    Ok(())
}

async fn what_fails(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let expecting = json!({ "encoding": "utf8", "value": "two", "expect_version": 1 });
    let path = format!("{SECRET}/versions");
    keyed(&house, &dana, "k-1", &path, &expecting).await?.is_problem(412, "precondition-failed")?;
    let denied = keyed(&house, &dana, "k-1", "/api/v1/apply", &json!({ "documents": [] })).await?;
    denied.is_problem(403, "denied")?;
    set(&house, &dana, "k-0", "one").await?.done()?;
    let now = keyed(&house, &dana, "k-1", &path, &expecting).await?.done()?;
    ensure!(now["version"] == 2, "{now}");
    Ok(())
}

/// The server dies, or runs out of time, between the act and its answer.
async fn a_lost_answer(given: Given) -> Result<()> {
    let limits = Limits { answer: Duration::from_secs(20), ..Limits::default() };
    let house = House::open_differently(&given, Differently { limits, ..Differently::default() }).await?;
    let dana = house.example("dana").await?;
    set(&house, &dana, "k-1", "hunter2").await?.done()?;
    let lose = sql("UPDATE idempotency SET status = NULL, body = NULL WHERE token = 'k-1'");
    house.app.database.write_unrecorded("idempotency", lose).await?;
    let told = set(&house, &dana, "k-1", "hunter2").await?;
    told.is_problem(409, "conflict")?;
    ensure!(told.json()["recorded_at"].is_string() && told.json()["remedy"].is_string(), "{told:?}");
    ensure!(versions(&house).await? == 1, "it was done twice");
    // Another replica may be answering still, for a minute.
    let other = sql("UPDATE idempotency SET attempt = 'another/attempt' WHERE token = 'k-1'");
    house.app.database.write_unrecorded("idempotency", other).await?;
    let told = set(&house, &dana, "k-1", "hunter2").await?;
    told.is_problem(409, "conflict")?;
    ensure!(told.json()["detail"].as_str().is_some_and(|it| it.contains("being answered")), "{told:?}");
    Ok(())
}

async fn no_value_is_kept(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    set(&house, &dana, "k-1", "hunter2").await?.done()?;
    let run = "/api/v1/applications/reports/environments/sandbox/run";
    for _ in 0..2 {
        let told = keyed(&house, &dana, "k-2", run, &json!({})).await?;
        ensure!(told.header("idempotency-replayed").is_empty() && told.text.contains("hunter2"), "{told:?}");
    }
    let kept: Vec<(String, Option<Vec<u8>>)> = house.all(sql("SELECT token, body FROM idempotency")).await?;
    ensure!(kept.len() == 1 && kept[0].0 == "k-1", "{kept:?}");
    let sealed = kept[0].1.as_ref().context("no answer")?;
    ensure!(!sealed.windows(7).any(|it| it == b"version" || it == b"hunter2"), "the answer lies open");
    Ok(())
}

async fn forgotten(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    set(&house, &dana, "k-1", "hunter2").await?.done()?;
    let yesterday = house.app.ambient.now().before(Duration::from_hours(25));
    let age = sql("UPDATE idempotency SET created_at = $1").bind(yesterday);
    house.app.database.write_unrecorded("idempotency", age).await?;
    let anew = set(&house, &dana, "k-1", "hunter3").await?;
    ensure!(anew.status == 201 && versions(&house).await? == 2, "{anew:?}");
    Ok(())
}

/// The database goes away and comes back while thirty are done: whoever is not told that it was done says
/// it again under the same key, and each is done once.
async fn through_outages(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    // The server tries again by itself where it can: it may take more than one outage until somebody has to.
    for wave in 0..10 {
        let numbers = wave * 30..(wave + 1) * 30;
        let attempts = numbers.map(|number| until_told(&house, &dana, number));
        let (told, disturbed) = tokio::join!(futures::future::try_join_all(attempts), disturb(&given));
        disturbed?;
        let (versions, all) = (versions(&house).await?, usize::try_from((wave + 1) * 30)?);
        ensure!(versions == all, "{versions} versions of {all}");
        if told?.iter().any(|tries| *tries > 1) {
            return Ok(());
        }
    }
    anyhow::bail!("nobody noticed ten outages")
}

/// How often it had to be said.
async fn until_told(house: &House, dana: &Person, number: u32) -> Result<u32> {
    let (key, value) = (format!("k-{number}"), format!("hunter-{number}"));
    tokio::time::sleep(Duration::from_millis(u64::from(number % 30) * 40)).await;
    for tries in 1..100 {
        let answer = set(house, dana, &key, &value).await?;
        let is_done = answer.status == 201 || answer.json()["recorded_at"].is_string();
        if is_done {
            return Ok(tries);
        }
        ensure!([409, 503].contains(&answer.status.as_u16()), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("{key} was never told")
}

async fn disturb(given: &Given) -> Result<()> {
    let Some(path) = given.url.strip_prefix("sqlite:") else {
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_millis(80)).await;
            given.disconnect_all().await?;
        }
        return Ok(());
    };
    let mut other = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..2 {
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await?;
        tokio::time::sleep(Duration::from_millis(3500)).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
