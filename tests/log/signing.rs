//! Checkpoints, tiles and proofs, on both databases.

use std::sync::Arc;

use anyhow::{Result, ensure};
use futures::future::join_all;
use libtest_mimic::Trial;
use port_control::{
    audit::{
        Checkpoint, Pin, Signer, VerifierKey,
        checkpoint::newest,
        leaf_hash,
        pin::PinFile,
        proof::verify_inclusion,
        tile::{TreeReader, leaves},
        verify::{check_database, check_growth},
    },
    base::ProblemKind,
    keys::LogSigner,
    store::sql,
};

use super::site::Site;
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

const ORIGIN: &str = "example.com/log";

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(on_each_database(peers, "log::two_signers_of_one_log_agree", signed));
    trials.extend(on_each_database(peers, "log::a_signer_that_lags_behind_goes_on", lagging));
    trials.extend(on_each_database(peers, "log::abuse_37_a_log_behind_its_pin_is_refused", behind));
    trials.extend(on_each_database(peers, "log::a_changed_row_is_not_signed_over", changed));
    trials
}

fn signer(site: &Site) -> Result<Signer> {
    let key = LogSigner::from_seed(&[1; 32]);
    Ok(Signer::new(site.database.clone(), site.ambient.clone(), key, ORIGIN)?)
}

async fn grow(site: &Site, from: usize, to: usize) -> Result<()> {
    let names: Vec<String> = (from..to).map(|n| format!("n{n}")).collect();
    for answer in join_all(names.iter().map(|name| site.note(name))).await {
        answer?;
    }
    Ok(())
}

async fn signed(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let (mut one, mut other) = (signer(&site)?, signer(&site)?);
    let key: VerifierKey = one.verifier().clone();
    let mut seen: Vec<Checkpoint> = Vec::new();
    for (from, to) in [(0, 3), (3, 300), (300, 601)] {
        grow(&site, from, to).await?;
        one.sign(&site.log.head()).await?;
        other.sign(&site.log.head()).await?;
        let note = newest(&site.database).await?.expect("something was signed");
        seen.push(Checkpoint::open(&note, &key)?);
    }
    let report = check_database(&site.database, std::slice::from_ref(&key)).await?;
    ensure!(report.size == 601 && report.checkpoints == 3 && report.missing == 0, "{report:?}");
    let last = seen[2].clone();
    let mut tree = TreeReader::new(&site.database, last.size);
    for old in &seen {
        check_growth(old, &last, &tree.consistency(old.size).await?)?;
    }
    for (index, leaf) in (0..).zip(leaves(&site.database, 0, last.size).await?) {
        let proof = tree.inclusion(index).await?;
        ensure!(verify_inclusion(&leaf_hash(&leaf), index, last.size, &proof, &last.root), "entry {index}");
    }
    Ok(())
}

/// Another log under the same key stands for a copy that was put back: first it is shorter than what
/// is pinned, then as long and another.
async fn behind(given: Given) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pin = || Some(Pin::new(PinFile::new(folder.path().join("log.pin"))));
    let site = Site::open(given.open().await?).await?;
    grow(&site, 0, 3).await?;
    let mut running = signer(&site)?.pinned(pin());
    running.sign(&site.log.head()).await?;
    running.check_pin().await?;
    let lost = Checkpoint { origin: ORIGIN.to_owned(), size: 5, root: [9; 32] };
    let key = running.verifier().clone();
    let pinned = pin().expect("it is there");
    ensure!(
        pinned.read(std::slice::from_ref(&key)).await?.is_some_and(|it| it.size == 3),
        "what was signed is pinned"
    );
    pinned.write(&lost, &lost.sign(&LogSigner::from_seed(&[1; 32])), std::slice::from_ref(&key)).await?;
    let problem = running.check_pin().await.expect_err("two entries are gone");
    ensure!(problem.is(ProblemKind::LogIncomplete), "{problem:?}");
    ensure!(problem.detail.contains("5 entries were signed, 3 are there"), "{problem:?}");
    grow(&site, 3, 6).await?;
    let problem = running.check_pin().await.expect_err("five entries are there, and others");
    ensure!(problem.is(ProblemKind::LogAltered), "{problem:?}");
    Ok(())
}

/// What a replica has heard of the log's head is older than what another has signed.
async fn lagging(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    grow(&site, 0, 2).await?;
    let heard = site.log.head();
    grow(&site, 2, 5).await?;
    signer(&site)?.sign(&site.log.head()).await?;
    let mut late = signer(&site)?;
    late.sign(&heard).await?;
    grow(&site, 5, 7).await?;
    late.sign(&site.log.head()).await?;
    let note = newest(&site.database).await?.expect("something was signed");
    ensure!(Checkpoint::open(&note, late.verifier())?.size == site.log.head().size);
    Ok(())
}

async fn changed(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let mut first = signer(&site)?;
    grow(&site, 0, 300).await?;
    first.sign(&site.log.head()).await?;
    let spoil = sql("UPDATE entries SET leaf = $1 WHERE idx = 299").bind(b"{}".to_vec());
    let mut tx = site.database.begin_write().await?;
    tx.execute(spoil).await?;
    tx.commit().await?;
    grow(&site, 300, 301).await?;
    let refused = signer(&site)?.sign(&site.log.head()).await.expect_err("it was altered");
    ensure!(refused.is(ProblemKind::LogAltered), "{refused}");
    let found = check_database(&site.database, std::slice::from_ref(first.verifier()))
        .await
        .expect_err("it was altered");
    ensure!(found.is(ProblemKind::LogAltered) && found.detail.contains("entry 299"), "{found}");
    Ok(())
}
