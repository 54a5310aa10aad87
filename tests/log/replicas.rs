//! Several replicas on one PostgreSQL: one log.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use libtest_mimic::Trial;
use port_control::base::time::Stopwatch;

use super::{
    check::walk,
    site::{ANSWERED, Does, Site, check_answers},
};
use crate::{
    peers::Peers,
    support::{Given, on_postgres},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(on_postgres(peers, "log::three_replicas_make_one_log", one_log));
    trials.extend(on_postgres(peers, "log::no_wake_up_is_lost", no_lost_wake_up));
    trials.extend(on_postgres(peers, "log::a_replica_that_hangs_with_the_head_loses_it", a_paused_replica));
    trials.extend(on_postgres(peers, "log::an_asynchronous_commit_is_refused", asynchronous_commit));
    trials
}

async fn sites(given: &Given, count: usize) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    for _ in 0..count {
        sites.push(Site::open(given.open().await?).await?);
    }
    Ok(sites)
}

async fn one_log(given: Given) -> Result<()> {
    let sites = sites(&given, 3).await?;
    let mut names: Vec<String> = (0..900).map(|n| format!("n{n}")).collect();
    // On a machine that is busy besides, some are refused after their two seconds, and tried again.
    for round in 0..5 {
        let units = names.iter().enumerate().map(|(n, name)| sites[n % 3].note_and(name, Does::Count));
        let answers: Vec<_> = names.iter().cloned().zip(join_all(units).await).collect();
        check_answers(&sites[0], &answers).await?;
        names.clear();
        for (name, _) in answers.into_iter().filter(|(_, answer)| answer.is_err()) {
            // One whose outcome was unknown may be there all the same.
            if !sites[0].has(&name).await? {
                names.push(name);
            }
        }
        if names.is_empty() {
            break;
        }
        ensure!(round < 4, "{} were not recorded in five rounds", names.len());
    }
    for (place, entry) in walk(&sites[0].database).await?.iter().enumerate() {
        ensure!(entry.payload["count"] == place + 1, "the order of the log is not that of commits");
    }
    Ok(())
}

async fn no_lost_wake_up(given: Given) -> Result<()> {
    let sites = sites(&given, 3).await?;
    let mut heads: Vec<_> = sites.iter().map(|site| site.log.watch()).collect();
    for round in 1..=30u64 {
        sites[usize::try_from(round)? % 3].note(&format!("n{round}")).await?;
        for head in &mut heads {
            let told = head.wait_for(|head| head.size >= round);
            tokio::time::timeout(Duration::from_secs(2), told).await.context("not told of an entry")??;
        }
    }
    // Listeners that were cut off hear of what happened meanwhile, too.
    given.disconnect_all().await?;
    for attempt in 0..3 {
        if sites[0].note(&format!("after {attempt}")).await.is_ok() {
            break;
        }
    }
    for head in &mut heads {
        let told = head.wait_for(|head| head.size >= 31);
        tokio::time::timeout(Duration::from_secs(8), told).await.context("not told after a cut")??;
    }
    Ok(())
}

/// One of three replicas stops in the middle of a unit, with the head in its hands: the others go on within
/// the two seconds and hear of each other, it finds that nothing of its own happened, and works again.
async fn a_paused_replica(given: Given) -> Result<()> {
    let others = sites(&given, 2).await?;
    let url = given.url.clone();
    let (ready, is_ready) = mpsc::channel();
    // A runtime of its own, whose one thread stands still.
    let paused = std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let site = Site::open(port_control::store::Database::open(&url).await?).await?;
            ready.send(())?;
            let answer = site.note_and("paused", Does::Stop(Duration::from_millis(3500))).await;
            ensure!(answer.is_err(), "what was cut off was acknowledged");
            site.note("again").await?;
            Ok(())
        })
    });
    tokio::task::spawn_blocking(move || is_ready.recv()).await??;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let since = Stopwatch::start();
    let units = (0..50).map(|n| {
        let site = others[n % 2].clone();
        async move { site.note(&format!("n{n}")).await }
    });
    let answers = join_all(units).await;
    let took = since.elapsed();
    ensure!(took < ANSWERED, "held up for {took:?}");
    for answer in &answers {
        ensure!(answer.is_ok(), "{answer:?}");
    }
    tokio::task::spawn_blocking(move || paused.join()).await?.ok().context("the replica panicked")??;
    for site in &others {
        let mut head = site.log.watch();
        let told = tokio::time::timeout(Duration::from_secs(8), head.wait_for(|it| it.size >= 51)).await;
        ensure!(told.is_ok(), "not told of what another wrote: {}", site.log.head().size);
    }
    ensure!(!others[0].has("paused").await? && others[1].has("again").await?, "the paused unit is there");
    ensure!(walk(&others[0].database).await?.len() == 51, "something more is there");
    Ok(())
}

async fn asynchronous_commit(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    site.note("one").await?;
    let name = url::Url::parse(&given.url)?.path()[1..].to_owned();
    let server = given.peers.postgres.clone().context("no PostgreSQL")?;
    server.execute(&format!(r#"ALTER DATABASE "{name}" SET synchronous_commit = off"#)).await?;
    given.disconnect_all().await?;
    let problem = site.note("two").await.err().context("it was recorded without a safe commit")?;
    ensure!(problem.detail.contains("synchronous_commit"), "{problem}");
    let opened = Site::open(given.open().await?).await;
    ensure!(opened.is_err(), "a log was opened without a safe commit");
    server.execute(&format!(r#"ALTER DATABASE "{name}" RESET synchronous_commit"#)).await?;
    given.disconnect_all().await?;
    site.note("three").await?;
    Ok(())
}
