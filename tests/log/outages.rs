//! PostgreSQL killed, paused, cut off, and started again in the middle of everything: every answer comes
//! in time, nothing that was acknowledged is missing, nothing that was refused is there, and work goes on
//! by itself.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use futures::future::join_all;
use libtest_mimic::Trial;
use port_control::base::{Problem, ProblemKind, time::Stopwatch};

use super::site::{ANSWERED, Site, check_answers, is_bounded};
use crate::{
    peers::{Peers, Postgres, Private, Standby},
    support::{Given, on_postgres, trial},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_postgres(peers, "log::connections_that_are_cut_lose_nothing", cut);
    if peers.postgres.is_some() {
        trials.push(trial("log::postgres_that_is_paused_is_bounded_and_heals", paused));
        trials.push(trial("log::abuse_37_failing_over_to_a_standby_that_lags_is_refused", failed_over));
        trials.push(trial("log::postgres_that_is_killed_loses_nothing_and_heals", killed));
    }
    trials
}

type Answers = Vec<(String, Result<(), Problem>)>;

/// Sixteen writers until `until`, each act answered in time.
async fn load(site: &Site, label: &str, until: Duration) -> Result<Answers> {
    let since = Stopwatch::start();
    let writers = (0..16).map(|writer| async move {
        let (mut answers, mut slowest) = (Vec::new(), Duration::ZERO);
        for n in 0.. {
            if since.elapsed() > until {
                break;
            }
            let name = format!("{label}-{writer}-{n}");
            let (answer, took) = site.timed(&name).await;
            slowest = slowest.max(took);
            if answer.is_err() {
                // Whoever was refused at once does not hammer.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answers.push((name, answer));
        }
        (answers, slowest)
    });
    let all = join_all(writers).await;
    for (_, slowest) in &all {
        ensure!(*slowest < ANSWERED, "an answer took {slowest:?}");
    }
    Ok(all.into_iter().flat_map(|(answers, _)| answers).collect())
}

/// Every connection is ended, again and again. What was running is run once more on a new one.
async fn cut(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let cutting = async {
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            given.disconnect_all().await?;
        }
        anyhow::Ok(())
    };
    let (answers, cut) = tokio::join!(load(&site, "cut", Duration::from_secs(3)), cutting);
    cut?;
    let answers = answers?;
    check_answers(&site, &answers).await?;
    let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    // Each is run once more by itself; only a machine that is busy besides leaves any refused.
    ensure!(failed * 4 < answers.len(), "{failed} of {} were not recorded", answers.len());
    Ok(())
}

/// A server that this test may torment, with a log on it.
async fn torment() -> Result<(Private<Postgres>, Site)> {
    let server = Postgres::start_private().await?;
    let database = port_control::store::Database::open(&server.url).await?;
    database.migrate().await?;
    let site = Site::open(database).await?;
    site.note("before").await?;
    Ok((server, site))
}

/// Waits until acts are taken again, without anyone's help.
async fn healed(site: &Site) -> Result<()> {
    let since = Stopwatch::start();
    for n in 0.. {
        let (answer, took) = site.timed(&format!("healed-{n}")).await;
        ensure!(took < ANSWERED, "an answer took {took:?}");
        match answer {
            Ok(()) => break,
            Err(problem) if since.elapsed() > Duration::from_secs(5) => return Err(problem.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Ok(())
}

async fn paused() -> Result<()> {
    let (server, site) = torment().await?;
    let pausing = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.pause();
        tokio::time::sleep(Duration::from_secs(5)).await;
        server.resume();
    };
    let (answers, ()) = tokio::join!(load(&site, "paused", Duration::from_secs(7)), pausing);
    let answers = answers?;
    ensure!(answers.iter().any(|(_, it)| it.as_ref().is_err_and(is_bounded)), "the pause was not felt");
    healed(&site).await?;
    check_answers(&site, &answers).await
}

async fn killed() -> Result<()> {
    let (mut server, site) = torment().await?;
    for round in 0..3 {
        let killing = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.kill();
            // Longer than a commit that was not answered is looked for.
            tokio::time::sleep(Duration::from_millis(2500)).await;
            server.start_again().await
        };
        let label = format!("killed-{round}");
        let (answers, started) = tokio::join!(load(&site, &label, Duration::from_secs(5)), killing);
        started?;
        let answers = answers?;
        let refused = |problem: &Problem| problem.is(ProblemKind::NotRecorded);
        ensure!(answers.iter().any(|(_, it)| it.as_ref().is_err_and(refused)), "the kill was not felt");
        healed(&site).await?;
        check_answers(&site, &answers).await?;
    }
    Ok(())
}

/// A standby that lags takes over while writers write: what it lacks was acknowledged, so nothing is done
/// on it any more, by the processes that know better.
async fn failed_over() -> Result<()> {
    let (mut server, site) = torment().await?;
    let standby = Standby::of(&server).await?;
    site.note("streamed").await?;
    standby.stop_receiving(&server).await?;
    let failing = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.fail_over(standby).await
    };
    let (answers, failed) = tokio::join!(load(&site, "failing", Duration::from_secs(5)), failing);
    failed?;
    let answers = answers?;
    let set_back = |problem: &Problem| problem.is(ProblemKind::LogIncomplete);
    ensure!(answers.iter().any(|(_, it)| it.is_ok()), "nothing was lost");
    ensure!(answers.iter().any(|(_, it)| it.as_ref().is_err_and(set_back)), "nobody noticed");
    for (name, answer) in &answers {
        ensure!(!site.has(name).await?, "{name} is there: {answer:?}");
        ensure!(answer.as_ref().err().is_none_or(|it| is_bounded(it) || set_back(it)), "{answer:?}");
    }
    let (answer, took) = site.timed("later").await;
    ensure!(answer.is_err_and(|it| set_back(&it)) && took < ANSWERED, "it goes on being refused");
    let log = super::check::walk(&site.database).await?;
    ensure!(log.iter().any(|entry| entry.payload["name"] == "streamed"), "what it got is whole");
    ensure!(log.iter().all(|entry| entry.payload["name"] != "later"), "nothing was added to it");
    Ok(())
}
