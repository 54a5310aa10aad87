//! Going on after a database was set back.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    audit::{checkpoint::newest, verifiers, verify::check_database},
    base::{Config, ProblemKind, config::PinConfig},
    server::{Opening, Outcome, Server, Wish, recover},
    store::sql,
};
use serde_json::{Value, json};

use crate::{
    peers::Peers,
    support::{Given, on_each_database},
    web::house::{Differently, House, Person},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(on_each_database(peers, "log::abuse_37_recovering_ends_what_may_have_ended", set_back));
    trials.extend(on_each_database(peers, "log::a_log_that_goes_on_is_not_recovered", whole));
    trials
}

/// Everything that somebody has.
struct Cast {
    issuer: String,
    dana: Person,
    lena: Person,
    omar: Person,
    aya: Person,
    ada: Person,
}

async fn people(house: &House) -> Result<Cast> {
    let ada = house.sign_in("ada", &["it"]).await?;
    let (dana, omar) = (house.example("dana").await?, house.example("omar").await?);
    let (lena, aya) = (house.example("lena").await?, house.example("aya").await?);
    let id = house.a_request(&dana).await?;
    house
        .post(&omar, &format!("/api/v1/requests/{id}/approve"), &json!({ "reason": "fine" }))
        .await?
        .done()?;
    house.a_request(&lena).await?;
    Ok(Cast { issuer: format!("{}/idp", house.url), dana, lena, omar, aya, ada })
}

async fn signed(house: &House) -> Result<String> {
    let size = house.log_size().await?;
    house
        .eventually("all of it is signed", || async {
            let note = newest(&house.app.database).await?.unwrap_or_default();
            Ok(note.lines().nth(1).and_then(|it| it.parse::<i64>().ok()).is_some_and(|it| it >= size))
        })
        .await?;
    newest(&house.app.database).await?.context("nothing was signed")
}

/// The configuration of a house, with a pin that holds this note.
fn pinned(house: &House, given: &Given, note: &str) -> Result<Config> {
    let mut config = (*house.app.config).clone();
    let pin = given.folder.path().join("log.pin");
    fs::write(&pin, note)?;
    config.log.pin = Some(PinConfig::File(pin));
    config.database = port_control::base::config::Credential::Value(given.url.clone().into());
    Ok(config)
}

fn wish(published: Vec<PathBuf>, really: bool) -> Wish {
    Wish { reason: "the disk of the database died".to_owned(), published, really }
}

async fn deactivate(house: &House, by: &Person, whom: &Person) -> Result<()> {
    let path = format!("/api/v1/people/{}/deactivate", whom.id);
    house.post(by, &path, &json!({ "reason": "she leaves" })).await?.done().map(drop)
}

async fn set_back(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let cast = people(&house).await?;
    house.close().await?;
    let yesterday = given.copy().await?;

    // What is lost then: Lena leaves, and Omar is suspended; Nina joins and leaves.
    let house = House::serve(&given, Differently::default()).await?;
    deactivate(&house, &cast.ada, &cast.lena).await?;
    let path = format!("/api/v1/people/{}/suspend", cast.omar.id);
    house.post(&cast.ada, &path, &json!({ "reason": "a question" })).await?.done()?;
    let nina = house.sign_in_by(&cast.issuer, "nina", &["engineering"]).await?;
    deactivate(&house, &cast.ada, &nina).await?;
    signed(&house).await?;
    let export = house.get(&cast.aya, "/audit/v1/export?action=person.").await?.text;
    let bundle = house.get(&cast.aya, "/audit/v1/bundle").await?.text;
    let note = signed(&house).await?;
    let config = pinned(&house, &yesterday, &note)?;
    house.close().await?;

    let refused = Server::open(config.clone(), Opening::Serve).await.err().context("it is served")?;
    ensure!(refused.remedy.as_ref().is_some_and(|it| it.contains("port-control recover")), "{refused}");
    let folder = yesterday.folder.path();
    let published = folder.join("published.ndjson");
    fs::write(&published, format!("{export}{bundle}"))?;
    altered_is_refused(&config, &folder.join("altered.ndjson"), &export).await?;

    let looked = recover(config.clone(), &wish(vec![published.clone()], false)).await?;
    ensure!(looked.recovered.is_none() && looked.lost.len() == 3, "{looked:?}");
    ensure!(looked.to_string().contains("Nothing was done"), "{looked}");
    ensure!(recover(config.clone(), &wish(vec![], false)).await?.standing == looked.standing, "{looked:?}");
    let done = recover(config.clone(), &wish(vec![published], true)).await?;
    ended(&cast, &nina, &done)?;
    // The new pin is of the log that goes on: it starts, and there is nothing to recover any more.
    let again = recover(config.clone(), &wish(vec![], true)).await.expect_err("it goes on from its pin");
    ensure!(again.is(ProblemKind::Conflict), "{again}");
    goes_on(&yesterday, &config, &cast).await
}

/// What was published counts only if the log's key signed it.
async fn altered_is_refused(config: &Config, file: &std::path::Path, export: &str) -> Result<()> {
    fs::write(file, export.replacen("she leaves", "she stays!", 1))?;
    let refused = recover(config.clone(), &wish(vec![file.to_owned()], true)).await.expect_err("altered");
    ensure!(refused.is(ProblemKind::LogAltered) && refused.detail.contains("altered.ndjson"), "{refused}");
    Ok(())
}

fn ended(cast: &Cast, nina: &Person, done: &Outcome) -> Result<()> {
    let recovered = done.recovered.as_ref().context("it was done")?;
    ensure!(recovered.deactivated == [cast.lena.id] && recovered.unknown == [nina.id], "{recovered:?}");
    ensure!(recovered.grants_ended == 1 && recovered.requests_withdrawn == 1, "{recovered:?}");
    ensure!(recovered.people_suspended == 5 && recovered.sessions_ended >= 6, "{recovered:?}");
    let aside = done.set_aside.as_ref().context("the old pin is kept")?;
    ensure!(std::path::Path::new(aside).exists() && aside.contains("before"), "{aside}");
    Ok(())
}

async fn goes_on(given: &Given, config: &Config, cast: &Cast) -> Result<()> {
    let house = House::serve(given, Differently::default()).await?;
    for person in [&cast.dana, &cast.aya, &cast.ada] {
        house.get(person, "/api/v1/whoami").await?.is_problem(401, "unauthenticated")?;
    }
    house.get(&cast.omar, "/api/v1/whoami").await?.is_problem(403, "person-suspended")?;
    house.get(&cast.lena, "/api/v1/whoami").await?.is_problem(403, "person-deactivated")?;
    // Her provider speaks for her: she is back, and her grant is not.
    let dana = house.sign_in_by(&cast.issuer, "dana", &["engineering"]).await?;
    ensure!(dana.id == cast.dana.id, "she is who she was");
    let production = "/api/v1/applications/reports/environments/production/secrets/A/value";
    house.get(&dana, production).await?.is_problem(403, "needs-grant")?;
    for (name, problem) in [("lena", ProblemKind::PersonDeactivated), ("omar", ProblemKind::PersonSuspended)]
    {
        let refused = house.sign_in_by(&cast.issuer, name, &["engineering", "leads"]).await;
        let refused = refused.err().context("she is in")?.to_string();
        ensure!(refused.contains(problem.slug().trim_start_matches("person-")), "{name}: {refused}");
    }
    let aya = house.sign_in_by(&cast.issuer, "aya", &["audit"]).await?;
    let entries = house.get(&aya, "/audit/v1/entries?action=log.recovered").await?.done()?;
    ensure!(entries["items"][0]["reason"] == "the disk of the database died", "{entries:#}");
    ensure!(entries["items"][0]["payload"]["pinned"]["size"].is_u64(), "{entries:#}");
    let mut leavers: Vec<(String,)> = Vec::new();
    house
        .eventually("what she knew is looked after", || async {
            Ok(!house.all::<(String,)>(sql("SELECT person FROM leavers")).await?.is_empty())
        })
        .await?;
    leavers.extend(house.all::<(String,)>(sql("SELECT person FROM leavers")).await?);
    ensure!(leavers == [(cast.lena.id.to_string(),)], "{leavers:?}");

    // Who can reach what now follows from the log as from the rows.
    let access = async |query: &str| -> Result<Value> {
        house.get(&aya, &format!("/audit/v1/access{query}")).await?.done()
    };
    let rows = access("").await?;
    let log = access(&format!("?at={}", rows["at"].as_str().context("no moment")?)).await?;
    ensure!(rows["items"] == log["items"], "by the rows {rows:#}, and by the log {log:#}");
    signed(&house).await?;
    let keys = verifiers(&house.app.keys, &config.log.origin).await?;
    check_database(&house.app.database, &keys).await?;
    house.close().await
}

/// Nobody loses anything where nothing was lost.
async fn whole(given: Given) -> Result<()> {
    let house = House::open(&given).await?;
    let dana = house.example("dana").await?;
    let note = signed(&house).await?;
    let config = pinned(&house, &given, &note)?;
    house.close().await?;
    let refused = recover(config, &wish(vec![], true)).await.expect_err("nothing was set back");
    ensure!(refused.is(ProblemKind::Conflict), "{refused}");
    let house = House::serve(&given, Differently::default()).await?;
    house.get(&dana, "/api/v1/whoami").await?.done()?;
    house.close().await
}
