//! The evidence of the story in one archive, and the auditor's part of the README, command by command.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use zip::ZipArchive;

use super::Cast;
use crate::{
    story::people::Person,
    support::{readme, until},
};

const FILES: &[&str] = &[
    "index.html",
    "VERIFY.txt",
    "bundle.ndjson",
    "checkpoint.txt",
    "joiners.csv",
    "movers.csv",
    "leavers.csv",
    "grants.csv",
    "changes.csv",
    "outages.csv",
    "reads.csv",
    "actions.csv",
];

pub fn is_evidence(cast: &Cast) -> Result<()> {
    let aya = &cast.aya;
    let key = aya.reads("audit verify")?["key"].as_str().context("a key")?.to_owned();
    let said =
        aya.does(&format!("audit report --from 2020-01-01 --to 2099-12-31 --file story.zip --key {key}"))?;
    ensure!(said.ends_with('\n'), "its last line ends: {said}");
    aya.fails("audit report --from 2020-01-01 --to 2099-12-31 --file story.zip", 1, "is there already")?;
    aya.fails("audit report --from 2099-01-01 --to 2020-12-31", 2, "ends before it begins")?;
    cast.dana.fails("audit report --from 2020-01-01 --to 2099-12-31", 1, "")?;

    let files = unpacked(aya)?;
    ensure!(files.len() == FILES.len(), "{:?}", files.keys());
    for name in FILES {
        ensure!(files.contains_key(*name), "{name} is not in it");
    }
    let has = |file: &str, row: &[&str]| {
        let found = files[file].lines().any(|line| row.iter().all(|part| line.contains(part)));
        ensure!(found, "{file} has no row with {row:?}: {}", files[file]);
        Ok(())
    };
    let people = aya.reads("audit log --action person.deactivated")?;
    let lena = people[0]["subject"].as_str().context("she left")?;
    has("joiners.csv", &[lena, "lena@example.com"])?;
    has("leavers.csv", &[lena, "left on Friday", "lena@example.com,ada@example.com"])?;
    ensure!(files["leavers.csv"].starts_with("entry,time,person,by,reason,"), "columns stay where they were");
    has("grants.csv", &["reports/production", "production-access", "INC-123", "per_"])?;
    has("changes.csv", &["catalog.applied", "supa"])?;
    has("outages.csv", &["server.started"])?;
    has("reads.csv", &["reports/production/DATABASE_URL", "secret.revealed"])?;
    has("actions.csv", &["session.began", "allow"])?;
    readable(&files["index.html"])?;
    verifiable(aya, &key, &files)
}

/// Unpacks it beside what else is looked through for values.
fn unpacked(aya: &Person) -> Result<BTreeMap<String, String>> {
    let mut archive = ZipArchive::new(File::open(aya.home.join("story.zip"))?)?;
    let folder = aya.home.join("story");
    fs::create_dir_all(&folder)?;
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        let (name, mut text) = (file.name()?.into_owned(), String::new());
        file.read_to_string(&mut text)?;
        fs::write(folder.join(&name), &text)?;
        files.insert(name, text);
    }
    Ok(files)
}

/// A page that needs nothing: no script, nothing from elsewhere, every element closed.
fn readable(page: &str) -> Result<()> {
    for foreign in ["<script", "http-equiv=\"refresh\"", "src=", "@import"] {
        ensure!(!page.contains(foreign), "the page holds '{foreign}'");
    }
    for element in ["table", "thead", "tbody", "tr", "td", "th", "h2", "p", "dl", "body", "html", "bdi", "a"]
    {
        let opened =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        ensure!(opened == page.matches(&format!("</{element}>")).count(), "<{element}> is not closed");
    }
    for told in ["CC6.2", "A.5.18", "VERIFY.txt", "left on Friday"] {
        ensure!(page.contains(told), "the page does not tell '{told}'");
    }
    Ok(())
}

/// As the archive itself says, on a machine that has no server.
fn verifiable(aya: &Person, key: &str, files: &BTreeMap<String, String>) -> Result<()> {
    ensure!(files["VERIFY.txt"].contains(key) && files["index.html"].contains("checkpoint.txt"));
    let said = aya.does(&format!("audit verify --bundle story/bundle.ndjson --key {key}"))?;
    ensure!(said.contains("none left out"), "{said}");
    let altered = files["bundle.ndjson"].replacen("left on Friday", "left on Monday", 1);
    ensure!(altered != files["bundle.ndjson"], "the bundle holds the reason");
    fs::write(aya.home.join("altered-bundle.ndjson"), altered)?;
    aya.fails(&format!("audit verify --bundle altered-bundle.ndjson --key {key}"), 10, "")
}

/// Every command of the README's part for auditors does what it is there for.
pub async fn first_ten_minutes(cast: &Cast) -> Result<()> {
    let aya = &cast.aya;
    for command in readme::commands("An auditor's first ten minutes", 9)? {
        ensure!(command.words[0] == "portctl", "{}", command.line);
        if command.says("--follow") {
            followed(aya, &cast.ada, &command.arguments()).await?;
        } else {
            aya.portctl.run(&command.arguments())?.done().with_context(|| command.line.clone())?;
        }
    }
    Ok(())
}

/// What comes is shown as it comes; and it goes on until it is told to stop.
async fn followed(aya: &Person, ada: &Person, words: &[&str]) -> Result<()> {
    let followers = || -> Result<usize> {
        Ok(aya.reads("audit log --action log.followed")?.as_array().map_or(0, Vec::len))
    };
    let before = followers()?;
    let mut child = aya.portctl.spawn(words)?;
    until("it follows", async || Ok((followers()? > before).then_some(()))).await?;
    let act = ["person", "sign-out", "omar@example.com", "--reason", "INC-123 again"];
    ada.portctl.run(&act)?.done()?;
    let said = BufReader::new(child.stdout.take().context("no standard output")?);
    let (told, lines) = mpsc::channel();
    let reading = thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            let is_last = line.contains("INC-123 again");
            if told.send(line).is_err() || is_last {
                return;
            }
        }
    });
    let mut before = Vec::new();
    let came = loop {
        match lines.recv_timeout(Duration::from_secs(10)) {
            Ok(line) if line.contains("INC-123 again") => break Ok(line),
            Ok(line) => before.push(line),
            Err(error) => break Err(error),
        }
    };
    let ended = child.try_wait()?;
    child.kill()?;
    child.wait()?;
    drop(reading.join());
    let line = came.with_context(|| format!("nothing came after {before:?}"))?;
    ensure!(ended.is_none() && line.contains("ada@example.com"), "it ended with {ended:?}: {line}");
    let is_head = before.first().is_some_and(|line| line.starts_with("INDEX") && line.contains("REASON"));
    let newest =
        before.get(1..).is_some_and(|it| !it.is_empty() && it.iter().all(|line| line.contains("INC-123")));
    ensure!(is_head && newest, "a head and the newest of before come first: {before:?}");
    Ok(())
}
