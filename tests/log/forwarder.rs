//! Forwarding, to a receiver that can be told to misbehave.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use libtest_mimic::Trial;
use port_control::{
    audit::{
        Checkpoint, Signer, VerifierKey,
        forward::{Forwarder, ForwarderParts},
        leaf_hash,
        proof::verify_inclusion,
    },
    base::{Ambient, config::ForwardConfig, hex, time::Stopwatch},
    keys::LogSigner,
    store::sql,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    check::walk,
    site::{ANSWERED, Site},
};
use crate::{
    peers::{Peers, wait_for},
    support::{Given, house::BOUND, on_each_database, on_postgres, on_sqlite, siem::Siem},
};

const ORIGIN: &str = "example.com/log";

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(on_each_database(peers, "log::what_is_signed_is_forwarded_in_order", in_order));
    trials.extend(on_sqlite(peers, "log::a_dead_receiver_loses_nothing", dead));
    trials.extend(on_sqlite(
        peers,
        "log::a_crash_between_sending_and_noting_sends_the_same_batch_again",
        crash,
    ));
    trials.extend(on_postgres(peers, "log::two_replicas_forward_each_entry_once", replicas));
    trials.extend(on_sqlite(peers, "log::a_receiver_of_small_batches_gets_small_ones", too_large));
    trials.extend(on_sqlite(peers, "log::what_is_forwarded_filtered_proves_itself", filtered));
    trials.extend(on_sqlite(peers, "log::a_slow_receiver_slows_nobody", slow));
    trials
}

/// A forwarder that runs.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(site: &Site, config: &ForwardConfig, ambient: Ambient) -> Result<Self> {
        let (forwarder, stop) = (forwarder(site, config, ambient)?, CancellationToken::new());
        Ok(Self { task: tokio::spawn(forwarder.run(stop.clone())), stop })
    }

    async fn end(self) -> Result<()> {
        self.stop.cancel();
        Ok(tokio::time::timeout(Duration::from_secs(9), self.task).await.context("it does not stop")??)
    }

    /// As a crash would.
    async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

fn forwarder(site: &Site, config: &ForwardConfig, ambient: Ambient) -> Result<Forwarder> {
    crate::peers::http(None)?;
    Ok(Forwarder::new(ForwarderParts {
        database: site.database.clone(),
        log: site.log.clone(),
        ambient,
        permits: site.permits(),
        origin: ORIGIN.to_owned(),
        config: std::slice::from_ref(config),
    })?)
}

/// So many entries more, signed.
async fn grow(site: &Site, tag: &str, count: usize) -> Result<()> {
    let names: Vec<String> = (0..count).map(|n| format!("{tag}{n}")).collect();
    for answer in join_all(names.iter().map(|name| site.note(name))).await {
        answer?;
    }
    sign(site).await
}

async fn sign(site: &Site) -> Result<()> {
    let key = LogSigner::from_seed(&[1; 32]);
    Signer::new(site.database.clone(), site.ambient.clone(), key, ORIGIN)?.sign(&site.log.head()).await?;
    Ok(())
}

fn log_key() -> VerifierKey {
    VerifierKey::new(ORIGIN, LogSigner::from_seed(&[1; 32]).public_key()).expect("it has a name")
}

/// Waits until everything before `size` was taken.
async fn all_taken(siem: &Siem, size: u64) -> Result<()> {
    let look = async || {
        let taken = siem.taken().ok()?;
        let indices: BTreeSet<u64> = taken.iter().map(|it| it.index).collect();
        (indices.len() as u64 >= size).then_some(())
    };
    let waited = wait_for(&format!("{size} entries were forwarded"), BOUND, look).await;
    siem.got()?;
    waited
}

async fn in_order(given: Given) -> Result<()> {
    let (site, siem) = (Site::open(given.open().await?).await?, Siem::start().await?);
    let config = siem.config(&[]);
    grow(&site, "a", 600).await?;
    let running = Running::start(&site, &config, site.ambient.clone())?;
    all_taken(&siem, 600).await?;
    grow(&site, "b", 40).await?;
    let all = site.log.head().size;
    ensure!(all == 641, "one entry says where it goes, and none is about a batch: {all}");
    all_taken(&siem, all).await?;
    running.end().await?;
    // A restart has nothing to say and nothing to send.
    let running = Running::start(&site, &config, site.ambient.clone())?;
    grow(&site, "c", 1).await?;
    all_taken(&siem, all + 1).await?;
    running.end().await?;
    let taken = siem.taken()?;
    let indices: Vec<u64> = taken.iter().map(|it| it.index).collect();
    ensure!(indices == (0..=all).collect::<Vec<_>>(), "each of them once, in order");
    for got in siem.got()? {
        let checkpoint = Checkpoint::open(&got.header.checkpoint, &log_key())?;
        ensure!(got.header.last < checkpoint.size && !got.header.filtered, "{:?}", got.header);
    }
    let entries = walk(&site.database).await?;
    let about: Vec<_> = entries.iter().filter(|it| it.action == "log.forwarding-set").collect();
    ensure!(about.len() == 1 && about[0].actor == "service/forwarder", "{}", about.len());
    let said = about[0].payload.to_string();
    ensure!(said.contains("127.0.0.1") && !said.contains("in-the-address"), "{said}");
    Ok(())
}

async fn dead(given: Given) -> Result<()> {
    let (site, siem) = (Site::open(given.open().await?).await?, Siem::start().await?);
    let config = siem.config(&[]);
    siem.answer(&[500, 302]);
    grow(&site, "a", 10).await?;
    let running = Running::start(&site, &config, site.ambient.clone())?;
    all_taken(&siem, 10).await?;
    let keys: BTreeSet<String> = siem.got()?.iter().take(3).map(|it| it.key.clone()).collect();
    ensure!(keys.len() == 1, "the same batch three times: {keys:?}");
    siem.always(Some(503));
    grow(&site, "b", 700).await?;
    let tried = async || siem.got().ok()?.last().is_some_and(|it| it.status == 503).then_some(());
    wait_for("it was tried", BOUND, tried).await?;
    running.end().await?;
    let dead_for_long = Ambient::system(site.ambient.now().after(Duration::from_hours(3)));
    let said = forwarder(&site, &config, dead_for_long)?.check().await.remove(0).1;
    let said = said.expect_err("it has been dead for three hours").detail.clone();
    ensure!(said.contains("entries wait, the oldest for 3h") && said.contains("503"), "{said}");
    siem.always(None);
    let running = Running::start(&site, &config, site.ambient.clone())?;
    sign(&site).await?;
    all_taken(&siem, site.log.head().size).await?;
    running.end().await?;
    let said = forwarder(&site, &config, site.ambient.clone())?.check().await.remove(0).1?;
    ensure!(said.contains("0 wait"), "{said}");
    let indices: Vec<u64> = siem.taken()?.iter().map(|it| it.index).collect();
    ensure!(indices == (0..site.log.head().size).collect::<Vec<_>>(), "each of them once, in order");
    Ok(())
}

/// The receiver has the batch, and nobody has noted it.
async fn crash(given: Given) -> Result<()> {
    let (site, siem) = (Site::open(given.open().await?).await?, Siem::start().await?);
    let config = siem.config(&[]);
    grow(&site, "a", 20).await?;
    siem.hang(true);
    let running = Running::start(&site, &config, site.ambient.clone())?;
    all_taken(&siem, 20).await?;
    running.kill().await;
    siem.hang(false);
    grow(&site, "b", 30).await?;
    let all = site.log.head().size;
    // Another process, once the turn of the one that is gone has run out.
    let later = Ambient::system(site.ambient.now().after(Duration::from_mins(1)));
    let running = Running::start(&site, &config, later)?;
    all_taken(&siem, all).await?;
    running.end().await?;
    let got = siem.got()?;
    ensure!(got[0].key == got[1].key && got[0].lines.len() == got[1].lines.len(), "another batch");
    let after: Vec<u64> = got[1..].iter().flat_map(|it| &it.lines).map(|it| it.index).collect();
    ensure!(after == (0..all).collect::<Vec<_>>(), "one batch came twice, and nothing else");
    Ok(())
}

async fn replicas(given: Given) -> Result<()> {
    let siem = Siem::start().await?;
    let config = siem.config(&[]);
    let one = Site::open(given.open().await?).await?;
    let two = Site::open(given.open().await?).await?;
    grow(&one, "first", 5).await?;
    let running = [
        Running::start(&one, &config, one.ambient.clone())?,
        Running::start(&two, &config, two.ambient.clone())?,
    ];
    for round in 0..6 {
        grow(if round % 2 == 0 { &one } else { &two }, &format!("r{round}-"), 120).await?;
    }
    sign(&one).await?;
    let size: Option<(i64,)> = one.database.fetch_optional(sql("SELECT max(size) FROM checkpoints")).await?;
    let size = size.context("it was signed")?.0.unsigned_abs();
    all_taken(&siem, size).await?;
    let [first, second] = running;
    first.end().await?;
    // The other goes on where the first one stopped.
    grow(&two, "last", 3).await?;
    all_taken(&siem, size + 3).await?;
    second.end().await?;
    let indices: Vec<u64> = siem.taken()?.iter().map(|it| it.index).collect();
    ensure!(indices == (0..size + 3).collect::<Vec<_>>(), "each of them once, in order");
    let about = walk(&one.database).await?.iter().filter(|it| it.action == "log.forwarding-set").count();
    ensure!(about == 1, "{about} entries about one place");
    Ok(())
}

async fn too_large(given: Given) -> Result<()> {
    let (site, siem) = (Site::open(given.open().await?).await?, Siem::start().await?);
    siem.at_most(40);
    grow(&site, "a", 300).await?;
    let running = Running::start(&site, &siem.config(&[]), site.ambient.clone())?;
    all_taken(&siem, 300).await?;
    running.end().await?;
    let refused = siem.got()?.iter().filter(|it| it.status == 413).count();
    ensure!((1..=5).contains(&refused), "{refused} were too large: it does not learn");
    let indices: Vec<u64> = siem.taken()?.iter().map(|it| it.index).collect();
    ensure!(indices == (0..indices.len() as u64).collect::<Vec<_>>(), "each of them once, in order");
    Ok(())
}

async fn filtered(given: Given) -> Result<()> {
    let (site, siem) = (Site::open(given.open().await?).await?, Siem::start().await?);
    grow(&site, "a", 50).await?;
    let running = Running::start(&site, &siem.config(&[("action", "log.")]), site.ambient.clone())?;
    let look = async || site.log.watch().borrow().size.gt(&50).then_some(());
    wait_for("it was recorded", BOUND, look).await?;
    grow(&site, "b", 5).await?;
    all_taken(&siem, 1).await?;
    running.end().await?;
    let got = siem.got()?;
    ensure!(got.len() == 1 && got[0].lines.len() == 1 && got[0].header.filtered, "{got:?}");
    let (line, checkpoint) = (&got[0].lines[0], Checkpoint::open(&got[0].header.checkpoint, &log_key())?);
    let proof = line.proof.as_ref().context("no proof")?;
    let proof: Vec<_> = proof.iter().filter_map(|it| hex::decode(it)?.try_into().ok()).collect();
    let leaf = leaf_hash(line.leaf.as_bytes());
    ensure!(verify_inclusion(&leaf, line.index, checkpoint.size, &proof, &checkpoint.root), "{line:?}");
    let unknown = forwarder(&site, &siem.config(&[("aplication", "reports")]), site.ambient.clone());
    ensure!(unknown.is_err(), "a filter that there is not would let everything through");
    Ok(())
}

async fn slow(given: Given) -> Result<()> {
    let (site, siem) = (Site::open(given.open().await?).await?, Siem::start().await?);
    siem.hang(true);
    grow(&site, "a", 10).await?;
    let running = Running::start(&site, &siem.config(&[]), site.ambient.clone())?;
    all_taken(&siem, 10).await?;
    for n in 0..10 {
        let (answer, took) = site.timed(&format!("n{n}")).await;
        answer?;
        ensure!(took < ANSWERED, "an act took {took:?}");
    }
    let since = Stopwatch::start();
    running.end().await?;
    ensure!(since.elapsed() < Duration::from_secs(9), "it took {:?} to stop", since.elapsed());
    Ok(())
}
