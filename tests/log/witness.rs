//! Witnesses, by one that verifies strictly and can be told to misbehave.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use libtest_mimic::Trial;
use port_control::{
    api,
    audit::{
        Checkpoint, Signer, VerifierKey,
        verify::ExportCheck,
        witness::{WitnessPolicy, Witnesses, newest_note, policy::judge_export, witnessed_note},
    },
    base::{
        ProblemKind,
        config::{Access, OutwardConfig, WitnessConfig},
    },
    keys::LogSigner,
    store::sql,
};
use tokio_util::sync::CancellationToken;

use super::site::{ANSWERED, Site};
use crate::{
    peers::{Peers, wait_for},
    support::{
        Given,
        house::{BOUND, GROUND, House, Settings},
        on_each_database, on_sqlite, trial,
        witness::{Manner, Witness},
    },
};

const ORIGIN: &str = "example.com/log";

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(on_each_database(peers, "log::cosignatures_arrive_and_make_a_quorum", quorum));
    trials.extend(on_sqlite(peers, "log::a_witness_that_knows_another_size_is_brought_along", other_sizes));
    trials.extend(on_sqlite(peers, "log::a_wrong_cosignature_is_not_kept", wrong));
    trials.extend(on_sqlite(peers, "log::a_fork_is_not_cosigned", fork));
    trials.extend(on_sqlite(peers, "log::a_witness_that_does_not_know_the_log_says_so", unknown));
    trials.extend(on_each_database(peers, "log::a_witness_that_is_down_holds_nothing_up", down));
    trials.extend(on_each_database(
        peers,
        "log::abuse_37_a_witness_that_pins_stops_what_was_set_back",
        pinned,
    ));
    trials.push(trial("log::abuse_37_a_witness_that_pins_is_asked_before_a_start", asked_first));
    trials.extend(on_sqlite(peers, "log::an_export_says_whether_it_is_witnessed", export));
    trials
}

fn signer(site: &Site) -> Result<Signer> {
    Ok(Signer::new(site.database.clone(), site.ambient.clone(), LogSigner::from_seed(&[1; 32]), ORIGIN)?)
}

/// The key of that log.
fn log_key() -> VerifierKey {
    VerifierKey::new(ORIGIN, LogSigner::from_seed(&[1; 32]).public_key()).expect("it has a name")
}

fn witnesses(site: &Site, all: &[&Witness], quorum: Option<usize>) -> Result<Witnesses> {
    crate::peers::http(None)?;
    let config: Vec<WitnessConfig> = all.iter().map(|it| it.config()).collect();
    Ok(Witnesses::new(site.database.clone(), site.ambient.clone(), &config, quorum)?)
}

/// Notes one entry more and signs it.
async fn grow(site: &Site, names: &[&str]) -> Result<()> {
    for name in names {
        site.note(name).await?;
    }
    signer(site)?.sign(&site.log.head()).await?;
    Ok(())
}

/// What each witness says if it is offered the newest checkpoint; the first word of it where it refuses.
async fn offered(witnesses: &Witnesses) -> Vec<String> {
    let said = witnesses.check().await;
    said.into_iter()
        .map(|(_, said)| said.unwrap_or_else(|problem| format!("NO: {}", problem.detail)))
        .collect()
}

async fn kept(site: &Site) -> Result<i64> {
    let row: Option<(i64,)> =
        site.database.fetch_optional(sql("SELECT CAST(count(*) AS BIGINT) FROM cosignatures")).await?;
    Ok(row.context("a count")?.0)
}

fn size_of(note: &str) -> Result<u64> {
    Ok(Checkpoint::open(note, &log_key())?.size)
}

async fn quorum(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let logs = [log_key().to_string()];
    let one = Witness::start("one.example/w", 11, &logs).await?;
    let two = Witness::start("two.example/w", 12, &logs).await?;
    let three = Witness::start("three.example/w", 13, &logs).await?;
    let all = witnesses(&site, &[&one, &two, &three], Some(2))?;
    let policy = all.policy();
    ensure!(offered(&all).await[0].contains("not tried"), "there is nothing to offer");
    three.behave(Manner::Down);
    grow(&site, &["a", "b", "c"]).await?;
    let said = offered(&all).await;
    ensure!(said[0].contains("3 entries") && said[2].contains("503"), "{said:?}");
    let note = witnessed_note(&site.database, &policy).await?;
    let found = policy.judge(&note)?;
    ensure!(
        size_of(&note)? == 3 && found.is_met() && found.by == ["one.example/w", "two.example/w"],
        "{found}"
    );
    // The newest one is there at once, and waits for nobody.
    grow(&site, &["d"]).await?;
    let newest = newest_note(&site.database, &policy).await?.context("it was signed")?;
    ensure!(size_of(&newest)? == 4 && policy.judge(&newest)?.by.is_empty(), "{newest}");
    ensure!(size_of(&witnessed_note(&site.database, &policy).await?)? == 3);
    two.behave(Manner::Down);
    offered(&all).await;
    let newest = newest_note(&site.database, &policy).await?.context("it was signed")?;
    ensure!(policy.judge(&newest)?.by == ["one.example/w"], "{newest}");
    ensure!(size_of(&witnessed_note(&site.database, &policy).await?)? == 3, "one of two is not enough");
    two.behave(Manner::Honest);
    three.behave(Manner::Honest);
    offered(&all).await;
    let note = witnessed_note(&site.database, &policy).await?;
    ensure!(size_of(&note)? == 4 && policy.judge(&note)?.by.len() == 3, "{note}");
    ensure!([one.size(), two.size(), three.size()] == [4, 4, 4]);
    let at = note.len() - 9;
    let altered = format!(
        "{}{}{}",
        &note[..at],
        if note[at..].starts_with("AAA") { "BBB" } else { "AAA" },
        &note[at + 3..]
    );
    ensure!(policy.judge(&altered).is_err(), "a changed cosignature counts");
    Ok(())
}

/// A witness that was asked by somebody else, one that lost its state, and one that has seen more.
async fn other_sizes(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let witness = Witness::start("one.example/w", 11, &[log_key().to_string()]).await?;
    let all = witnesses(&site, &[&witness], None)?;
    grow(&site, &["a", "b", "c"]).await?;
    offered(&all).await;
    ensure!(witness.answered() == [200]);
    lose(&site, "DELETE FROM cosignatures").await?;
    grow(&site, &["d", "e"]).await?;
    offered(&all).await;
    ensure!(witness.answered() == [409, 200] && witness.size() == 5, "one that is ahead of what we know");
    witness.forget();
    grow(&site, &["f"]).await?;
    offered(&all).await;
    ensure!(witness.answered() == [409, 200] && witness.size() == 6, "one that is behind what we know");
    lose(&site, "DELETE FROM checkpoints WHERE size = 6").await?;
    let said = offered(&all).await;
    ensure!(said[0].contains("has cosigned 6 entries of this log, and 5 are signed"), "{said:?}");
    Ok(())
}

async fn lose(site: &Site, what: &'static str) -> Result<()> {
    let mut tx = site.database.begin_write().await?;
    tx.execute(sql(what)).await?;
    tx.commit().await?;
    Ok(())
}

async fn wrong(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let witness = Witness::start("one.example/w", 11, &[log_key().to_string()]).await?;
    let all = witnesses(&site, &[&witness], None)?;
    grow(&site, &["a", "b", "c"]).await?;
    for (manner, why) in [
        (Manner::OtherKey, "does not verify"),
        (Manner::OtherCheckpoint, "does not verify"),
        (Manner::NoTime, "says no time"),
        (Manner::Future, "in the future"),
        (Manner::Nonsense, "malformed"),
        (Manner::Endless, "longer than"),
        (Manner::NoSize, "without saying which size"),
        (Manner::Redirects, "307"),
        (Manner::Down, "503"),
    ] {
        witness.behave(manner);
        let said = offered(&all).await;
        ensure!(said[0].starts_with("NO: ") && said[0].contains(why), "{manner:?}: {said:?}");
        ensure!(kept(&site).await? == 0, "{manner:?} was kept");
    }
    witness.behave(Manner::Honest);
    offered(&all).await;
    ensure!(kept(&site).await? == 1, "it heals");
    Ok(())
}

/// Another log of the same name and key.
async fn fork(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let witness = Witness::start("one.example/w", 11, &[log_key().to_string()]).await?;
    grow(&site, &["a", "b", "c"]).await?;
    offered(&witnesses(&site, &[&witness], None)?).await;
    let elsewhere = format!("sqlite:{}", given.folder.path().join("fork.db").display());
    let database = port_control::store::Database::open(&elsewhere).await?;
    database.migrate().await?;
    let forked = Site::open(database).await?;
    for names in [&["x", "y", "z"][..], &["more"][..]] {
        grow(&forked, names).await?;
        let all = witnesses(&forked, &[&witness], None)?;
        let said = offered(&all).await;
        ensure!(said[0].contains("does not believe"), "{said:?}");
        ensure!(kept(&forked).await? == 0 && witness.size() == 3);
        ensure!(witness.answered().ends_with(&[409, 422]));
    }
    Ok(())
}

async fn unknown(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let witness = Witness::start("one.example/w", 11, &[]).await?;
    let all = witnesses(&site, &[&witness], None)?;
    grow(&site, &["a"]).await?;
    let said = all.check().await.remove(0).1.expect_err("it knows no log");
    let remedy = said.remedy.clone().unwrap_or_default();
    ensure!(said.detail.contains("does not know this log") && remedy.contains("vkeys"), "{said}");
    let other = VerifierKey::new(ORIGIN, LogSigner::from_seed(&[2; 32]).public_key());
    witness.trust(&other.map_err(anyhow::Error::msg)?.to_string());
    let said = offered(&all).await;
    ensure!(said[0].contains("does not know the key"), "{said:?}");
    for bad in ["nonsense", "w+00000000+BAAA", &log_key().to_string()] {
        let config = [WitnessConfig { vkey: bad.to_owned(), url: witness.url.parse()?, pins: false }];
        let refused = Witnesses::new(site.database.clone(), site.ambient.clone(), &config, None);
        ensure!(refused.is_err(), "{bad} was taken for a key");
    }
    Ok(())
}

async fn down(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let logs = [log_key().to_string()];
    let slow = Witness::start("slow.example/w", 11, &logs).await?;
    let gone = Witness::start("gone.example/w", 12, &logs).await?;
    let fine = Witness::start("fine.example/w", 13, &logs).await?;
    slow.behave(Manner::Hangs);
    gone.behave(Manner::Down);
    grow(&site, &["a"]).await?;
    let (all, stop) = (witnesses(&site, &[&slow, &gone, &fine], Some(2))?, CancellationToken::new());
    let policy = all.policy();
    let running = tokio::spawn(all.run(site.log.watch(), stop.clone()));
    wait_for("the one that works cosigned", BOUND, async || (fine.size() == 1).then_some(())).await?;
    for n in 0..5 {
        let (answer, took) = site.timed(&format!("n{n}")).await;
        answer?;
        ensure!(took < ANSWERED, "an act took {took:?}");
    }
    grow(&site, &["b"]).await?;
    ensure!(
        newest_note(&site.database, &policy)
            .await?
            .is_some_and(|note| size_of(&note).is_ok_and(|it| it == 7))
    );
    gone.behave(Manner::Honest);
    let look = async || {
        let note = witnessed_note(&site.database, &policy).await.ok()?;
        size_of(&note).is_ok_and(|size| size == 7).then_some(note)
    };
    let note = wait_for("the one that came back cosigned", BOUND, look).await?;
    ensure!(policy.judge(&note)?.by.len() == 2, "{note}");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.context("it does not stop")???;
    Ok(())
}

/// A whole server: what it publishes and exports.
async fn export(given: Given) -> Result<()> {
    let one = Witness::start("one.example/w", 11, &[]).await?;
    let two = Witness::start("two.example/w", 12, &[]).await?;
    let mut settings =
        Settings::new(&given.url, given.folder.path(), Access::Directory(given.folder.path().join("m")));
    settings.outward = OutwardConfig {
        witnesses: vec![one.config(), two.config()],
        quorum: Some(2),
        ..OutwardConfig::default()
    };
    two.behave(Manner::Down);
    let house = House::open(&settings).await?;
    let key = api::audit::verifiers(&house.app).await?.remove(0);
    one.trust(&key.to_string());
    two.trust(&key.to_string());
    house.declare(GROUND).await?;
    wait_for("a checkpoint", BOUND, async || house.dana.audit_checkpoint().await.ok()).await?;
    let policy =
        WitnessPolicy::new(vec![one.key.clone(), two.key.clone()], Some(2)).map_err(anyhow::Error::msg)?;
    let first = exported(&house, &key).await?;
    ensure!(!judge_export(&policy, &first)?.is_met(), "{first}");
    let missing = house.dana.audit_witnessed_checkpoint().await.expect_err("one is down");
    ensure!(missing.kind.exit_code() == 1, "{missing}");
    two.behave(Manner::Honest);
    // Each refused offer makes the pause longer: a restart looks at once.
    house.close().await?;
    let house = House::open(&settings).await?;
    let look = async || house.dana.audit_witnessed_checkpoint().await.ok();
    let note = wait_for("a witnessed checkpoint", BOUND, look).await?;
    ensure!(policy.judge(&note)?.is_met() && Checkpoint::open(&note, &key).is_ok(), "{note}");
    let first = exported(&house, &key).await?;
    let found = judge_export(&policy, &first)?;
    ensure!(found.to_string() == "witnessed by 2 of 2 (policy needs 2)", "{found}: {first}");
    house.close().await
}

/// Exports everything, verifies it as somebody does who knows of no witnesses; the first line.
async fn exported(house: &House, key: &VerifierKey) -> Result<String> {
    let mut text = Vec::new();
    let mut export = house.dana.audit_export(&[]).await?;
    while let Some(piece) = export.next().await? {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text)?;
    let mut lines = text.lines();
    let first = lines.next().context("an empty export")?;
    let mut check = ExportCheck::new(first, key)?;
    for line in lines {
        check.line(line)?;
    }
    check.finish()?;
    Ok(first.to_owned())
}

/// One that is believed where it knows more than is here, and one that is not.
async fn pinned(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    let witness = Witness::start("one.example/w", 11, &[log_key().to_string()]).await?;
    let all = |config| Witnesses::new(site.database.clone(), site.ambient.clone(), &[config], None);
    grow(&site, &["a", "b", "c"]).await?;
    all(witness.pinning())?.check_pins().await?;
    ensure!(witness.size() == 3, "it was not brought along");
    for manner in [Manner::Down, Manner::Hangs, Manner::NoSize] {
        witness.behave(manner);
        all(witness.pinning())?.check_pins().await?;
    }
    witness.behave(Manner::Honest);
    // As it was when two entries were signed.
    grow(&site, &["d"]).await?;
    all(witness.pinning())?.check_pins().await?;
    lose(&site, "DELETE FROM cosignatures WHERE size > 3").await?;
    lose(&site, "DELETE FROM checkpoints WHERE size > 3").await?;
    all(witness.config())?.check_pins().await?;
    let problem = all(witness.pinning())?.check_pins().await.expect_err("it knows more");
    ensure!(problem.is(ProblemKind::LogIncomplete) && problem.detail.contains("4 entries"), "{problem}");
    // It says so while the server runs, too.
    witness.behave(Manner::Ahead);
    grow(&site, &["e"]).await?;
    let (stop, head) = (CancellationToken::new(), site.log.watch());
    let ended = tokio::time::timeout(BOUND, all(witness.pinning())?.run(head, stop)).await?;
    ensure!(ended.is_err_and(|it| it.is(ProblemKind::LogIncomplete)), "it goes on");
    Ok(())
}

async fn asked_first() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let database = format!("sqlite:{}", folder.path().join("port-control.db").display());
    let witness = Witness::start("one.example/w", 11, &[]).await?;
    let access = || Access::Directory(folder.path().join("cluster"));
    let mut settings = Settings::new(&database, folder.path(), access());
    let house = House::open(&settings).await?;
    house.declare(GROUND).await?;
    wait_for("a checkpoint", BOUND, async || house.dana.audit_checkpoint().await.ok()).await?;
    house.close().await?;
    witness.behave(Manner::Ahead);
    settings.outward.witnesses = vec![witness.pinning()];
    let Err(refused) = House::open(&settings).await else { bail!("it is served") };
    ensure!(refused.to_string().contains("1000000 entries of this log"), "{refused}");
    settings.outward.witnesses = vec![witness.config()];
    House::open(&settings).await?.close().await
}
