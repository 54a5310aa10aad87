//! A disk that answers with I/O errors, or not at all: an act ends in time and without pretending, what was acknowledged is there,
//! and where the disk could not say whether it has what was written, the process ends.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use disk::{Fault, Recording};
use futures::future::join_all;
use libtest_mimic::Trial;
use port_control::{
    base::{Problem, ProblemKind},
    store::Database,
};

use super::{
    check::walk,
    site::{ANSWERED, Site, check_answers, is_bounded},
};
use crate::{
    peers::Peers,
    support::{trial, until},
};

const ENDS: &str = "log::a_failed_fsync_ends_the_process";
/// Says to this same program that it is the process that has to end: in which folder.
const FOLDER: &str = "BROKEN_DISK_FOLDER";
/// What it ends with: EX_IOERR of sysexits.h.
const DISK_FAILED: i32 = 74;
/// What it ends with where it was answered instead, or not at all.
const PRETENDED: i32 = 3;
const LATE: i32 = 4;

pub fn trials(_: &Arc<Peers>) -> Vec<Trial> {
    let life = match env::var_os(FOLDER) {
        Some(folder) => trial(ENDS, move || a_life_that_ends(folder.into())),
        None => trial(ENDS, ends),
    };
    vec![
        trial("log::a_disk_that_cannot_be_written_is_bounded_and_heals", cannot_be_written),
        trial("log::a_disk_that_hangs_is_bounded_and_heals", hangs),
        life,
    ]
}

async fn open(folder: &Path) -> Result<Site> {
    let database = Database::open(&format!("sqlite:{}", folder.join("port-control.db").display())).await?;
    database.migrate().await?;
    Site::open(database).await
}

type Answers = Vec<(String, Result<(), Problem>)>;

/// Eight at once, a few times; each is answered in time.
async fn several(site: &Site, label: &str) -> Result<Answers> {
    let mut answers = Answers::new();
    for round in 0..3 {
        let names: Vec<String> = (0..8).map(|n| format!("{label}-{round}-{n}")).collect();
        let timed = join_all(names.iter().map(|name| site.timed(name))).await;
        for (name, (answer, took)) in names.into_iter().zip(timed) {
            ensure!(took < ANSWERED, "{name} was answered after {took:?}");
            answers.push((name, answer));
        }
    }
    Ok(answers)
}

async fn cannot_be_written() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().canonicalize()?;
    let recording = Recording::of(&path);
    let site = open(&path).await?;
    let mut answers = several(&site, "before").await?;
    ensure!(answers.iter().all(|(_, answer)| answer.is_ok()), "the disk works");
    recording.fails(Some(Fault::Write));
    let failing = several(&site, "failing").await?;
    ensure!(failing.len() == 24 && failing.iter().all(|(_, answer)| answer.is_err()), "{failing:?}");
    let said = failing.iter().filter_map(|(_, answer)| answer.as_ref().err());
    let is_certain = |problem: &Problem| problem.is(ProblemKind::NotRecorded);
    ensure!(said.clone().any(is_certain), "nobody was told that nothing happened");
    answers.extend(failing);
    recording.fails(None);
    let after = several(&site, "after").await?;
    ensure!(after.iter().all(|(_, answer)| answer.is_ok()), "it goes on by itself: {after:?}");
    answers.extend(after);
    check_answers(&site, &answers).await?;
    site.log.drain().await;
    site.database.close().await;
    // And after a restart.
    check_answers(&open(&path).await?, &answers).await
}

/// This same program, as a process that can end.
/// A sync that does not come back: nobody waits for longer than the two seconds, and what was under way then
/// is there or not, as it was said.
async fn hangs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().canonicalize()?;
    let recording = Recording::of(&path);
    let site = open(&path).await?;
    let mut answers = several(&site, "before").await?;
    recording.fails(Some(Fault::Hang));
    let hanging = several(&site, "hanging").await;
    recording.fails(None);
    let hanging = hanging?;
    ensure!(hanging.iter().all(|(_, answer)| answer.as_ref().is_err_and(is_bounded)), "{hanging:?}");
    let unknown = |problem: &Problem| problem.is(ProblemKind::OutcomeUnknown);
    ensure!(hanging.iter().any(|(_, answer)| answer.as_ref().is_err_and(unknown)), "no commit was under way");
    answers.extend(hanging);
    until("acts are taken again", async || Ok(site.note("healed").await.ok())).await?;
    check_answers(&site, &answers).await?;
    let after = several(&site, "after").await?;
    ensure!(after.iter().all(|(_, answer)| answer.is_ok()), "it goes on by itself: {after:?}");
    Ok(())
}

async fn ends() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().canonicalize()?;
    let place = path.clone();
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = Command::new(env::current_exe()?);
        child.args(["--exact", ENDS]).env(FOLDER, place).stdin(Stdio::null());
        anyhow::Ok(child.output()?)
    })
    .await??;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.code() == Some(DISK_FAILED), "it ended with {}: {said}", ended.status);
    let told = fs::read_to_string(path.join("told"))?;
    let told: Vec<&str> = told.lines().collect();
    ensure!(told.len() == 20, "{told:?}");
    let site = open(&path).await?;
    for name in &told {
        ensure!(site.has(name).await?, "{name} was acknowledged and is not there");
    }
    // What nobody was told of is there with its row and its entry, or not at all.
    let entries = walk(&site.database).await?;
    let last = usize::from(site.has("never told").await?);
    ensure!(entries.len() == told.len() + last, "{} entries, {last}", entries.len());
    site.note("after").await?;
    Ok(())
}

/// Writes, until a sync fails under it.
async fn a_life_that_ends(folder: PathBuf) -> Result<()> {
    let recording = Recording::of(&folder);
    let site = open(&folder).await?;
    let mut told = String::new();
    for n in 0..20 {
        let name = format!("n-{n}");
        site.note(&name).await.context("the disk works")?;
        told.push_str(&name);
        told.push('\n');
    }
    fs::write(folder.join("told"), told)?;
    recording.fails(Some(Fault::Sync));
    std::thread::spawn(|| {
        std::thread::sleep(ANSWERED.max(Duration::from_secs(2)));
        std::process::exit(LATE);
    });
    drop(site.note("never told").await);
    std::process::exit(PRETENDED)
}
