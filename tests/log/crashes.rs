//! Power fails under SQLite: a disk that drops, tears and reorders what was not synced, at seeded moments
//! of one recorded life. `CRASH_POINTS=10000 tests/run log::whenever_power_fails` is the long search.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use disk::{Disk, Op, Recording, Trace};
use futures::future::join_all;
use libtest_mimic::Trial;
use port_control::{
    audit::{Checkpoint, Signer, verify::check_database},
    base::{
        ProblemKind,
        ambient::{Chance as _, SeededChance},
        hex,
    },
    keys::LogSigner,
    store::{Database, sql},
};

use super::{check::walk, site::Site};
use crate::{peers::Peers, support::trial};

const ORIGIN: &str = "example.com/log";
/// How often power fails, unless `CRASH_POINTS` says more.
const POINTS: usize = 500;
const WRITERS: usize = 8;
/// How often each writes. Together they fill SQLite's log of changes more than once.
const EACH: usize = 60;
/// How often it is tried to go on afterwards.
const PATIENCE: usize = 5;

pub fn trials(_: &Arc<Peers>) -> Vec<Trial> {
    vec![trial("log::whenever_power_fails_what_was_told_is_there", whenever_power_fails)]
}

fn signer(site: &Site) -> Result<Signer> {
    let key = LogSigner::from_seed(&[1; 32]);
    Ok(Signer::new(site.database.clone(), site.ambient.clone(), key, ORIGIN)?)
}

/// A life: writers at once, a signer now and then, and whatever they are told is noted.
async fn live(folder: &Path) -> Result<Trace> {
    let recording = Recording::of(folder);
    let database = Database::open(&url(folder)).await?;
    database.migrate().await?;
    let site = Site::open(database).await?;
    let writing = (0..WRITERS).map(|writer| {
        let (site, recording) = (&site, &recording);
        async move {
            for n in 0..EACH {
                let name = format!("n-{writer}-{n}");
                site.note(&name).await?;
                recording.told(&name);
            }
            anyhow::Ok(())
        }
    });
    let signing = async {
        let mut signer = signer(&site)?;
        while site.log.head().size < (WRITERS * EACH) as u64 {
            signer.sign(&site.log.head()).await?;
            let note = port_control::audit::checkpoint::newest(&site.database).await?;
            if let Some(note) = note {
                let Checkpoint { size, root, .. } = Checkpoint::open(&note, signer.verifier())?;
                recording.told(&format!("{size} {}", hex::encode(&root)));
            }
            tokio::time::sleep(std::time::Duration::from_millis(7)).await;
        }
        anyhow::Ok(())
    };
    let (written, signed) = tokio::join!(join_all(writing), signing);
    written.into_iter().collect::<Result<Vec<()>>>()?;
    signed?;
    site.log.drain().await;
    let trace = recording.trace();
    site.database.close().await;
    Ok(trace)
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("port-control.db").display())
}

async fn whenever_power_fails() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().canonicalize()?;
    let trace = live(&path).await?;
    let synced = trace.ops.iter().filter(|op| matches!(op, Op::Sync { .. })).count();
    ensure!(synced > EACH, "only {synced} syncs of {} ops were recorded", trace.ops.len());
    let points = std::env::var("CRASH_POINTS").ok().map_or(Ok(POINTS), |text| text.parse())?;
    let chance = SeededChance::new(36);
    let below = |limit: u64| {
        let mut bytes = [0; 8];
        chance.fill(&mut bytes);
        u64::from_le_bytes(bytes) % limit
    };
    let mut moments: Vec<usize> =
        (0..points).map(|_| usize::try_from(below(trace.ops.len() as u64))).collect::<Result<_, _>>()?;
    moments.sort_unstable();
    let (mut disk, mut kept) = (trace.play(), 0);
    for (nth, moment) in moments.iter().enumerate() {
        disk.play_to(*moment);
        kept += fail_and_look(&disk, &trace.ops[..*moment], below)
            .await
            .with_context(|| format!("power failed at op {moment} of {} (point {nth})", trace.ops.len()))?;
    }
    eprintln!("power failed at {points} moments of {} ops; {kept} told things were there", trace.ops.len());
    ensure!(kept > points, "hardly anything was ever told");
    a_disk_that_lies_is_noticed(trace, below).await
}

/// The same life on a disk that only says that it synced: a search that finds nothing there finds nothing.
async fn a_disk_that_lies_is_noticed(mut trace: Trace, below: impl Fn(u64) -> u64 + Copy) -> Result<()> {
    trace.ops.retain(|op| !matches!(op, Op::Sync { .. }));
    let (mut disk, count) = (trace.play(), trace.ops.len());
    for tenth in 5..10 {
        let moment = count * tenth / 10;
        disk.play_to(moment);
        if fail_and_look(&disk, &trace.ops[..moment], below).await.is_err() {
            return Ok(());
        }
    }
    bail!("five failures of a disk that never syncs lost nothing")
}

/// What was told before power failed is there afterwards, and nothing else came to be; how much was told.
async fn fail_and_look(disk: &Disk<'_>, before: &[Op], chance: impl FnMut(u64) -> u64) -> Result<usize> {
    let folder = tempfile::tempdir()?;
    disk.fail_into(folder.path(), chance)?;
    let told: Vec<&str> = before
        .iter()
        .filter_map(|op| if let Op::Told(what) = op { Some(what.as_str()) } else { None })
        .collect();
    if !fs::exists(folder.path().join("port-control.db"))? {
        ensure!(told.is_empty(), "the database is gone");
        return Ok(0);
    }
    let database = Database::open(&url(folder.path())).await?;
    database.migrate().await?;
    let site = Site::open(database).await?;
    look(&site, &told).await?;
    go_on(&site).await?;
    site.log.drain().await;
    site.database.close().await;
    Ok(told.len())
}

/// It can be written again. A machine that is busy may answer late, and then nothing happened.
async fn go_on(site: &Site) -> Result<()> {
    for _ in 0..PATIENCE {
        match site.note("after").await {
            Err(problem) if problem.is(ProblemKind::NotRecorded) => {}
            outcome => return Ok(outcome?),
        }
    }
    bail!("nothing was recorded in {PATIENCE} tries")
}

async fn look(site: &Site, told: &[&str]) -> Result<()> {
    let entries = walk(&site.database).await?;
    let noted: Vec<&str> = entries.iter().filter_map(|entry| entry.payload["name"].as_str()).collect();
    let rows: Vec<(String,)> =
        site.database.fetch_all(sql("SELECT name FROM marks WHERE name LIKE 'n-%' ORDER BY name")).await?;
    let mut sorted = noted.clone();
    sorted.sort_unstable();
    ensure!(sorted.iter().eq(rows.iter().map(|(name,)| name)), "rows and entries do not go together");
    // Every checkpoint fits, the kept ones and those that were told.
    let key = signer(site)?.verifier().clone();
    check_database(&site.database, std::slice::from_ref(&key)).await?;
    for what in told {
        if let Some((size, root)) = what.split_once(' ') {
            told_checkpoint(site, size.parse()?, root).await?;
        } else {
            ensure!(noted.contains(what), "'{what}' was told and is not there");
        }
    }
    Ok(())
}

/// The log grew out of a checkpoint that somebody has seen.
async fn told_checkpoint(site: &Site, entries: u64, root: &str) -> Result<()> {
    let leaves = port_control::audit::tile::leaves(&site.database, 0, entries).await?;
    ensure!(leaves.len() as u64 == entries, "{entries} entries were signed, {} are there", leaves.len());
    let mut tree = port_control::audit::verify::Recount::default();
    for leaf in &leaves {
        tree.push(port_control::audit::leaf_hash(leaf));
    }
    ensure!(
        hex::encode(&tree.root()) == root,
        "the tree of {entries} entries is not the one that was signed"
    );
    Ok(())
}
