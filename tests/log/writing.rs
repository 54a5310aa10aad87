//! Units that share a transaction.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use futures::future::join_all;
use libtest_mimic::Trial;
use port_control::{
    base::ProblemKind,
    policy::{Action, Denial, EnvironmentFacts, Facts, Policies, Resource, Service, ServiceFacts},
};

use super::{
    check::walk,
    site::{ANSWERED, Does, Site, check_answers},
};
use crate::{
    peers::Peers,
    support::{Given, on_each_database, on_sqlite},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(on_each_database(peers, "log::a_lone_unit_is_recorded", a_lone_unit));
    trials.extend(on_each_database(peers, "log::hundreds_share_transactions", hundreds));
    trials.extend(on_each_database(peers, "log::a_bad_unit_harms_nobody", bad_units));
    trials.extend(on_each_database(peers, "log::a_bad_unit_alone_changes_nothing", bad_units_alone));
    trials.extend(on_each_database(peers, "log::what_was_queued_is_drained", drained));
    trials.extend(on_each_database(peers, "log::repeated_denials_are_counted", denials));
    trials.extend(on_sqlite(peers, "log::a_hanging_file_is_bounded_and_heals", locked_by_another));
    trials
}

async fn a_lone_unit(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    site.note("one").await?;
    ensure!(site.log.head().size == 1 && walk(&site.database).await?.len() == 1, "not there");
    // Opened again, it goes on where it was.
    let again = Site::open(given.open().await?).await?;
    again.note("two").await?;
    ensure!(walk(&again.database).await?.len() == 2, "not there");
    Ok(())
}

async fn hundreds(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let names: Vec<String> = (0..700).map(|n| format!("n{n}")).collect();
    let answers = join_all(names.iter().map(|name| site.note_and(name, Does::Count))).await;
    for answer in &answers {
        ensure!(answer.is_ok(), "{answer:?}");
    }
    let entries = walk(&site.database).await?;
    // Each saw what those before it had done: the order of commits is the order of the log.
    for (place, entry) in entries.iter().enumerate() {
        ensure!(entry.payload["count"] == place + 1, "{} at {place}", entry.payload);
    }
    ensure!(entries.len() == 700 && site.log.head().size == 700, "{}", entries.len());
    Ok(())
}

async fn bad_units(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let slow = Does::Sleep(Duration::from_secs(30));
    let kinds = [Does::Panic, Does::Refuse, Does::Nothing, slow, Does::Swallow];
    let mut names: Vec<(String, Does)> = kinds.iter().map(|it| (format!("{it:?}"), *it)).collect();
    names.extend((0..40).map(|n| (format!("n{n}"), Does::Note)));
    let all = join_all(names.iter().map(|(name, does)| site.note_and(name, *does))).await;
    for ((name, does), answer) in names.iter().zip(all) {
        let (done, there) = (answer.is_ok(), site.has(name).await?);
        ensure!(done == there, "{name}: answered {answer:?}, there: {there}");
        // SQLite forgives a failed statement, PostgreSQL does not; either way the answer is true.
        ensure!(done == (*does == Does::Note) || *does == Does::Swallow, "{name}: {answer:?}");
    }
    walk(&site.database).await?;
    Ok(())
}

async fn bad_units_alone(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let slow = Does::Sleep(Duration::from_secs(30));
    for does in [Does::Panic, Does::Refuse, Does::Nothing, slow] {
        ensure!(site.note_and("bad", does).await.is_err(), "{does:?}");
        ensure!(!site.has("bad").await?, "{does:?}");
        site.note(&format!("after {does:?}")).await?;
    }
    ensure!(walk(&site.database).await?.len() == 4, "something more is there");
    Ok(())
}

async fn drained(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let names: Vec<String> = (0..200).map(|n| format!("n{n}")).collect();
    let units = join_all(names.iter().map(|name| site.note(name)));
    let (answers, ()) = tokio::join!(units, site.log.drain());
    let answers: Vec<_> = names.into_iter().zip(answers).collect();
    check_answers(&site, &answers).await?;
    let late = site.note("late").await;
    ensure!(late.is_err_and(|it| it.is(ProblemKind::NotRecorded)), "it takes more after draining");
    Ok(())
}

/// A service that asks for what is not its own.
fn denial(site: &Site, action: Action, resource: Resource) -> Result<Denial> {
    let facts = Facts::Service(ServiceFacts { service: Service::Broker, now: site.ambient.now() });
    match Policies::built_in()?.decide(&facts, action, resource) {
        Err(denial) => Ok(*denial),
        Ok(_) => anyhow::bail!("the broker may"),
    }
}

fn secret(n: u32) -> Result<Resource> {
    let at = "reports/production".parse().map_err(anyhow::Error::msg)?;
    let facts = EnvironmentFacts { at, owner: None, protected: true };
    Ok(Resource::Secret(facts, format!("SECRET_{n}").parse().map_err(anyhow::Error::msg)?))
}

/// Whoever tries one thing a hundred times, and another action on a hundred things.
async fn denials(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    for n in 0..100 {
        for denial in
            [denial(&site, Action::Apply, Resource::Catalog)?, denial(&site, Action::Reveal, secret(n)?)?]
        {
            let problem = site.log.deny(denial).await;
            ensure!(problem.is(ProblemKind::Denied), "{problem}");
        }
    }
    site.log.drain().await;
    let entries = walk(&site.database).await?;
    ensure!(
        entries.iter().all(|it| it.decision == "deny" && it.actor == "service/broker"),
        "they are recorded as something else"
    );
    for (action, different) in [("apply", 1), ("reveal", 16)] {
        let of: Vec<_> = entries.iter().filter(|it| it.action == action).collect();
        let counted: u64 = of.iter().map(|it| it.payload["count"].as_u64().unwrap_or(1)).sum();
        ensure!(counted == 100, "{counted} of 100 are accounted for");
        ensure!(of.len() == 21, "{} entries for one who tries the same", of.len());
        let on = of[20].payload["on"].as_array().map_or(0, Vec::len);
        ensure!(on == different, "{on} things are named: {}", of[20].payload);
    }
    Ok(())
}

/// Another process holds the file: bounded, nothing happens, and it goes on by itself.
async fn locked_by_another(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let path = given.folder.path().join("port-control.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut other = sqlx::ConnectOptions::connect(&options).await?;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await?;
    let (answer, took) = site.timed("locked").await;
    ensure!(answer.is_err_and(|it| it.is(ProblemKind::NotRecorded)), "it was recorded");
    ensure!(took < ANSWERED, "answered after {took:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await?;
    site.note("after").await?;
    ensure!(!site.has("locked").await? && walk(&site.database).await?.len() == 1, "it is there");
    Ok(())
}
