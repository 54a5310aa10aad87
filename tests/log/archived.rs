//! A whole server whose old entries lie in an archive: it serves them as before, forgets in them, and says
//! so where they cannot be had.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::base::Timestamp;
use port_control::{
    api::audit,
    audit::{
        archive::{Archivist, Stepped},
        verify::{ExportCheck, Report, check_database},
    },
    store::sql,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    archive::{check_archive, files},
    forgetting::{forget, left},
    published::Published,
};
use crate::{
    peers::Peers,
    support::{Given, on_each_database, program::Portctl},
    web::house::{Differently, House, Person, send},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_each_database(peers, "log::an_archived_log_is_served_as_before", served),
        on_each_database(peers, "log::an_archive_that_is_gone_or_altered_is_named", gone),
        on_each_database(peers, "log::a_person_is_forgotten_in_the_archive", forgotten),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn with_an_archive() -> Differently {
    Differently { archive: true, ..Differently::default() }
}

fn archivist(house: &House) -> Result<&Archivist> {
    house.app.archivist.as_ref().context("it has an archive")
}

/// Moves everything that is old enough; the server itself looks again much later.
async fn archive_all(house: &House) -> Result<u64> {
    house
        .eventually("what may move has moved", || async {
            Ok(archivist(house)?.step().await? == Stepped::Nothing)
        })
        .await?;
    let moved: Vec<(i64,)> = house.all(sql("SELECT next_entry FROM log_archives ORDER BY first")).await?;
    Ok(moved.last().map_or(0, |(next,)| next.unsigned_abs()))
}

async fn check(house: &House) -> Result<Report> {
    Ok(check_database(&house.app.database, &audit::verifiers(&house.app).await?).await?)
}

fn check_export(text: &str, keys: &[port_control::audit::VerifierKey]) -> Result<Report> {
    let mut lines = text.lines();
    let mut check =
        keys.iter().find_map(|key| ExportCheck::new(lines.clone().next().unwrap_or_default(), key).ok());
    lines.next();
    let check_of = check.as_mut().context("no header")?;
    for line in lines {
        check_of.line(line)?;
    }
    Ok(check.context("no header")?.finish()?)
}

/// The lines of an export whose entries are older than `size`, by what they say of entries.
fn entries_before(export: &str, size: u64) -> Result<Vec<Value>> {
    let lines = export.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let is_older = |line: &Value| line["index"].as_u64().is_some_and(|index| index < size);
    // Proofs are of another tree each time.
    let without_proof = |mut line: Value| {
        line.as_object_mut().map(|it| it.remove("proof"));
        line
    };
    Ok(lines.into_iter().filter(is_older).map(without_proof).collect())
}

/// One filter of each kind.
async fn filters(house: &House, lena: &Person) -> Result<Vec<String>> {
    let request =
        sql("SELECT request, scope FROM entries WHERE request IS NOT NULL AND scope IS NOT NULL LIMIT 1");
    let (request, scope): (String, String) = house.all(request).await?.pop().context("no request")?;
    let since = house.all::<(i64,)>(sql("SELECT time FROM entries WHERE idx = 400")).await?[0].0;
    let since = Timestamp::from_millis(since);
    Ok(vec![
        format!("subject={}", lena.id),
        format!("actor={}&action=request.", lena.id),
        "actor=service/revocation".to_owned(),
        "application=reports&environment=sandbox".to_owned(),
        "environment=production".to_owned(),
        "secret=A".to_owned(),
        "action=catalog.applied".to_owned(),
        "decision=allow&kind=act&action=person.".to_owned(),
        format!("request={request}"),
        format!("scope={scope}"),
        format!("since={since}"),
        format!("until={since}"),
        "reason=friday".to_owned(),
    ])
}

/// The exports that these filters come to, each verified.
async fn filtered(published: &Published, filters: &[String]) -> Result<Vec<String>> {
    let mut exports = Vec::new();
    for filter in filters {
        let address = format!("/audit/v1/export?{filter}");
        let export = published.house.get(&published.aya, &address).await?.text;
        let report = check_export(&export, std::slice::from_ref(&published.key)).context(filter.clone())?;
        ensure!(report.missing == 0, "{filter}: {report:?}");
        exports.push(export);
    }
    Ok(exports)
}

async fn served(given: Given) -> Result<()> {
    let published = Published::new_with(&given, with_an_archive()).await?;
    let Published { house, aya, client, key } = &published;
    let middle = house.app.ambient.now().to_string();
    let dana = house.example("dana").await?;
    let values = "/api/v1/applications/reports/environments/sandbox/secrets/A/versions";
    house.post(&dana, values, &json!({ "encoding": "utf8", "value": "a" })).await?.done()?;
    let lena = left(house, &house.example("ada").await?).await?;
    published.grow(256).await?;
    let filters = filters(house, &lena).await?;
    let filtered_before = filtered(&published, &filters).await?;
    let (_, before) = published.files().await?;
    let export_before = published.export().await?;
    let at = house.app.ambient.now().to_string();
    let reach = format!("/audit/v1/access?at={at}");
    let reach_before = house.get(aya, &reach).await?.done()?;
    let moved = archive_all(house).await?;
    ensure!(moved >= 512, "{moved}");
    let report = check(house).await?;
    ensure!(report.archived == moved && report.missing == 0, "{report:?}");

    // Tiles, bundles and proofs.
    published.grow(1).await?;
    let (_, after) = published.files().await?;
    let complete = |path: &&String| !path.contains(".p/") && *path != "checkpoint";
    for path in before.keys().filter(complete) {
        ensure!(before[path] == after[path], "{path} is another");
    }
    let tile = send(house.request(Method::GET, "/audit/log/tile/entries/000")).await?;
    ensure!(tile.header("cache-control") == "public, max-age=31536000, immutable", "{:?}", tile.headers);
    let part = house.request(Method::GET, "/audit/log/tile/entries/000.p/3").send().await?.bytes().await?;
    ensure!(before["tile/entries/000"].starts_with(&part) && part.len() > 9, "a part is how it begins");
    ensure!(client.audit_proof(3).await?.starts_with("c2sp.org/tlog-proof@v1\nindex 3\n"), "it is proved");

    // What reads every entry reads these, too.
    let (old, new) = (String::from_utf8(export_before)?, String::from_utf8(published.export().await?)?);
    ensure!(entries_before(&old, moved)? == entries_before(&new, moved)?, "the export says something else");
    ensure!(check_export(&new, std::slice::from_ref(key))?.missing == 0);
    let filtered_after = filtered(&published, &filters).await?;
    for ((filter, before), after) in filters.iter().zip(&filtered_before).zip(&filtered_after) {
        let before = entries_before(before, moved)?;
        ensure!(before == entries_before(after, moved)? && !before.is_empty(), "{filter}: {before:?}");
    }
    for (from, to) in [(0, 256), (3, 5), (250, 280)] {
        let bundle = String::from_utf8(published.bundle(from, Some(to)).await?)?;
        ensure!(check_export(&bundle, std::slice::from_ref(key))?.size == to - from, "{from} {to}");
    }
    let reach_after = house.get(aya, &reach).await?.done()?;
    ensure!(reach_after["items"] == reach_before["items"], "{reach_before} {reach_after}");
    ensure!(reach_after["items"].as_array().is_some_and(|it| !it.is_empty()), "{reach_after}");

    pages(house, aya, moved).await?;
    programs(&given, &published).await?;
    reported(&given, &published, &middle, &at).await?;
    published.house.close().await
}

/// Pages say what they did not search.
async fn pages(house: &House, aya: &Person, moved: u64) -> Result<()> {
    let page = house.get(aya, "/audit/v1/entries?action=catalog.applied").await?.done()?;
    ensure!(page["items"] == json!([]), "{page}");
    let archived = &page["archived"][0];
    ensure!(archived["from"] == 0 && archived["to"] == moved, "{page}");
    ensure!(archived["archive"] == archivist(house)?.archive().name(), "{page}");
    let recent = house.get(aya, "/audit/v1/entries?limit=1").await?.done()?;
    ensure!(recent["archived"] == json!([]), "its page ends before: {recent}");
    let since = house.app.ambient.now().to_string();
    let young = house.get(aya, &format!("/audit/v1/entries?since={since}")).await?.done()?;
    ensure!(young["archived"] == json!([]), "none of them is so young: {young}");
    let events = house.as_bearer(aya, Method::GET, "/audit/v1/entries/events").header("last-event-id", "3");
    let refused = send(events).await?;
    refused.is_problem(409, "conflict")?;
    ensure!(refused.text.contains("archive"), "{}", refused.text);
    Ok(())
}

/// The same by the programs.
async fn programs(given: &Given, published: &Published) -> Result<()> {
    let Published { house, aya, key, .. } = published;
    let (folder, key) = (given.folder.path().to_owned(), key.to_string());
    let portctl = Portctl::new(&folder.join("home"), &house.url, Some(aya.token.clone()))?;
    let url = house.url.clone();
    tokio::task::spawn_blocking(move || {
        let archive = folder.join("archive");
        let archive = archive.to_str().context("its name is text")?;
        portctl.run(&["audit", "verify"])?.done()?;
        portctl.run(&["audit", "verify", "--url", &url, "--key", &key])?.done()?;
        let said = portctl.run(&["audit", "verify", "--dir", archive, "--key", &key])?.done()?;
        ensure!(said.contains("whole: 0 to "), "{said}");
        portctl.run(&["audit", "verify", "--dir", archive, "--key", &key, "--since", "x"])?.refused(2, "")?;
        let listed = portctl.run(&["audit", "log", "--action", "catalog.applied"])?;
        ensure!(listed.code == 0 && listed.err.contains("Not searched: entries 0 to "), "{}", listed.err);
        let person = portctl.run(&["audit", "person", "ada@example.com"])?;
        ensure!(person.err.contains("Not searched: entries 0 to "), "{}", person.err);
        let path = format!("{archive}/openings/000");
        let altered = fs::read_to_string(&path)?.replacen("ada", "aya", 1);
        let whole = fs::read(&path)?;
        fs::write(&path, altered)?;
        portctl.run(&["audit", "verify", "--dir", archive, "--key", &key])?.refused(10, "entry ")?;
        fs::remove_file(&path)?;
        portctl.run(&["audit", "verify", "--dir", archive, "--key", &key])?.refused(11, "openings/000")?;
        Ok(fs::write(&path, whole)?)
    })
    .await?
}

/// A report of a time that begins and ends among archived entries.
async fn reported(given: &Given, published: &Published, from: &str, to: &str) -> Result<()> {
    let Published { house, aya, key, .. } = published;
    let export = String::from_utf8(published.export().await?)?;
    let lines = export.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let (from_time, to_time): (Timestamp, Timestamp) =
        (from.parse().map_err(anyhow::Error::msg)?, to.parse().map_err(anyhow::Error::msg)?);
    let is_within = |line: &&Value| {
        let leaf: Value =
            line["leaf"].as_str().and_then(|leaf| serde_json::from_str(leaf).ok()).unwrap_or_default();
        let time = leaf["time"].as_i64().unwrap_or(0);
        (from_time.as_millis()..to_time.as_millis()).contains(&time)
    };
    let expected = lines.iter().filter(is_within).count();
    ensure!(expected > 200, "{expected}");
    let portctl = Portctl::new(&given.folder.path().join("home"), &house.url, Some(aya.token.clone()))?;
    let words: Vec<String> =
        ["audit", "report", "--from", from, "--to", to, "--file", "r.zip", "--key"].map(str::to_owned).into();
    let key = key.to_string();
    tokio::task::spawn_blocking(move || {
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push(&key);
        let said = portctl.run(&words)?.done()?;
        ensure!(said.starts_with(&format!("{expected} entries of ")), "{expected}: {said}");
        Ok(())
    })
    .await?
}

async fn gone(given: Given) -> Result<()> {
    let published = Published::new_with(&given, with_an_archive()).await?;
    let Published { house, aya, .. } = &published;
    archive_all(house).await?;
    let folder = given.folder.path().join("archive");
    let entries = "/audit/log/tile/entries/000";
    let moved = folder.with_extension("moved");
    fs::rename(&folder, &moved)?;
    send(house.request(Method::GET, entries)).await?.is_problem(503, "archive-unavailable")?;
    ensure!(archivist(house)?.check().await.is_err(), "`check` says so");
    // Nothing else minds.
    house.get(aya, "/audit/v1/entries").await?.done()?;
    ensure!(send(house.request(Method::GET, "/audit/log/tile/0/000")).await?.status == 200, "tiles stay");
    fs::rename(&moved, &folder)?;
    archivist(house)?.check().await?;

    let file = folder.join("tile/entries/000");
    let whole = fs::read(&file)?;
    let mut altered = whole.clone();
    *altered.last_mut().context("an empty file")? ^= 1;
    fs::write(&file, altered)?;
    let answer = send(house.request(Method::GET, entries)).await?;
    answer.is_problem(500, "log-altered")?;
    ensure!(answer.json()["index"] == 255, "{}", answer.text);
    fs::remove_file(&file)?;
    let answer = send(house.request(Method::GET, entries)).await?;
    answer.is_problem(500, "log-incomplete")?;
    ensure!(answer.text.contains(archivist(house)?.archive().name()), "it says where: {}", answer.text);
    fs::write(&file, whole)?;
    ensure!(send(house.request(Method::GET, entries)).await?.status == 200, "and all is well");
    published.house.close().await
}

/// What the files of an archive say, together.
fn text_of(folder: &Path) -> Result<String> {
    let all: Vec<u8> = files(folder)?.into_values().flatten().collect();
    Ok(String::from_utf8_lossy(&all).into_owned())
}

async fn forgotten(given: Given) -> Result<()> {
    let published = Published::new_with(&given, with_an_archive()).await?;
    let house = &published.house;
    let ada = house.example("ada").await?;
    let lena = left(house, &ada).await?;
    published.grow(256).await?;
    let moved = archive_all(house).await?;
    let folder = given.folder.path().join("archive");
    let id = lena.id.to_string();
    let hers = [id.as_str(), "lena@example.com", "my INC-123", "left on Friday"];
    let before = text_of(&folder)?;
    for said in hers {
        ensure!(before.contains(said), "'{said}' is archived");
    }
    let keys = audit::verifiers(&house.app).await?;
    let present = check_archive(&files(&folder)?, &keys)?.present;

    // It is broken off between what says so and the openings: nobody is told that she is forgotten.
    fs::write(folder.join("said"), "in the way")?;
    let path = format!("/audit/v1/people/{}/forget", lena.id);
    let body = json!({ "reason": "as the law has it" });
    house.post(&ada, &path, &body).await?.is_problem(503, "archive-unavailable")?;
    let begun = sql("SELECT id FROM intents WHERE room = 'audit' AND state = 'open'");
    ensure!(house.all::<(String,)>(begun.clone()).await?.len() == 1, "it is begun");
    ensure!(text_of(&folder)?.contains("left on Friday"), "and not done");
    house.post(&ada, &path, &body).await?.is_problem(503, "archive-unavailable")?;
    fs::remove_file(folder.join("said"))?;

    let walked = forget(house, &ada, &lena).await?;
    let pseudonym = walked["pseudonym"].as_str().context("no pseudonym")?;
    let after = text_of(&folder)?;
    for said in hers {
        ensure!(!after.contains(said), "'{said}' is still in the archive");
    }
    ensure!(house.all::<(String,)>(begun).await?.is_empty(), "all of it has come to its end");
    let archived = check_archive(&files(&folder)?, &keys)?;
    ensure!(archived.forgotten > 5 && archived.present + archived.forgotten == present, "{archived:?}");
    let report = check(house).await?;
    ensure!(report.missing == 0 && report.archived >= moved - 4, "{report:?}");
    let outcome = sql("SELECT idx FROM entries WHERE action = 'log.forgot' AND kind = 'outcome'");
    ensure!(!house.all::<(i64,)>(outcome).await?.is_empty(), "the log says that it is done");

    // Exports read the archive, with her pseudonym.
    published.grow(1).await?;
    let all = String::from_utf8(published.export().await?)?;
    let report = check_export(&all, &keys)?;
    ensure!(report.forgotten >= archived.forgotten && report.missing == 0, "{report:?}");
    let by_her = house.get(&published.aya, &format!("/audit/v1/export?actor={pseudonym}")).await?;
    ensure!(check_export(&by_her.text, &keys)?.size > 2, "{}", by_her.text);
    let bundle = String::from_utf8(published.bundle(0, Some(256)).await?)?;
    check_export(&bundle, &keys)?;

    // An opening that is gone, with nothing that says so.
    let mut files = files(&folder)?;
    files.retain(|path, _| !path.starts_with("said/"));
    ensure!(check_archive(&files, &keys).is_err(), "nothing says that it was forgotten");
    published.house.close().await
}
