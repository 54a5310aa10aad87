//! 8. Prove: the auditor finds every step with its reason, and nobody altered anything.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use data_encoding::{BASE64, HEXLOWER};
use port_control::store::{Database, sql};

use super::Cast;
use crate::story::{people::Person, world::House};

/// What happened, each at least once.
const STEPS: &[&str] = &[
    "recovery.created",
    "recovery.used",
    "catalog.applied",
    "person.joined",
    "session.began",
    "session.ended",
    "secret.set",
    "secret.generated",
    "secret.rolled-back",
    "secret.revealed",
    "secret.run",
    "secret.deleted",
    "secret.undeleted",
    "secret.destroyed",
    "request.created",
    "request.approved",
    "request.denied",
    "request.cancelled",
    "grant.began",
    "grant.ended",
    "delivery.written",
    "delivery.restored",
    "delivery.paused",
    "delivery.resumed",
    "person.suspended",
    "person.resumed",
    "person.deactivated",
    "leaver.opened",
    "leaver.closed",
    "rotation.opened",
    "rotation.closed",
];

pub fn nothing_was_altered(cast: &Cast) -> Result<()> {
    let aya = &cast.aya;
    for step in STEPS {
        let found = aya.reads(&format!("audit log --action {step}"))?;
        ensure!(found.as_array().is_some_and(|it| !it.is_empty()), "the log has no '{step}'");
    }
    let denied = aya.reads("audit log --actor dana@example.com -a reports --decision deny")?;
    ensure!(denied.as_array().is_some_and(|it| !it.is_empty()), "what was denied is found");
    let left = aya.does("audit log --subject lena@example.com --action person.deactivated")?;
    ensure!(left.contains("left on Friday"), "with its reason: {left}");
    let restored = aya.reads("audit log --action delivery.restored")?.to_string();
    ensure!(restored.contains("portctl delivery pause reports-production"), "the way to change it by hand");
    let future = aya.reads("audit log --from 2099-01-01")?;
    ensure!(future.as_array().is_some_and(Vec::is_empty), "nothing has happened in 2099");
    cast.dana.fails("audit log", 1, "")?;
    questions(cast)?;

    aya.does("audit verify")?;
    let again = aya.does("audit verify")?;
    ensure!(again.contains("grew out of"), "it is held against what was seen: {again}");
    exported(cast)
}

/// What auditors ask most has commands of its own.
fn questions(cast: &Cast) -> Result<()> {
    let aya = &cast.aya;
    let knowers = aya.reads("audit who-read reports/sandbox/DATABASE_URL")?;
    let ways = knowers.as_array().context("a list")?;
    ensure!(ways.iter().any(|it| it["how"] == "entered"), "who entered a value: {knowers}");
    ensure!(ways.iter().any(|it| it["how"] == "revealed"), "to whom one was shown: {knowers}");
    let lena = aya.reads("audit person lena@example.com")?;
    let ended = lena["held"].as_array().context("a list")?;
    ensure!(
        !ended.is_empty() && ended.iter().all(|it| it["ended"].is_string()),
        "something is hers still: {}",
        lena["held"]
    );
    ensure!(
        lena["saw"].as_object().is_some_and(|saw| saw.len() >= 4),
        "she knew four values: {}",
        lena["saw"]
    );
    let found = aya.reads("audit log --reason friday")?;
    ensure!(found.as_array().is_some_and(|it| !it.is_empty()), "words in reasons are found");
    Ok(())
}

/// Values of the story, each told to somebody by now.
const CANARIES: &[&str] =
    &["postgres://sandbox/one", "postgres://production/two", "postgres://production/four"];

/// No value stands in what the server keeps or says (invariant 3): database, log file, entries, exports.
pub fn no_value_was_told(house: &House, cast: &Cast) -> Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(house.folder.path())?
        .map(|entry| entry.map(|it| it.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.is_file());
    files.push(cast.aya.home.join("all.ndjson"));
    for entry in fs::read_dir(cast.aya.home.join("story"))? {
        files.push(entry?.path());
    }
    ensure!(files.iter().any(|path| path.ends_with("server.log")), "the server's own words are read");
    for path in files {
        let bytes = fs::read(&path)?;
        for canary in CANARIES {
            let forms =
                [(*canary).to_owned(), BASE64.encode(canary.as_bytes()), HEXLOWER.encode(canary.as_bytes())];
            for form in forms {
                let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
                ensure!(!found, "'{canary}' stands in {}", path.display());
            }
        }
    }
    Ok(())
}

/// Whoever holds the database can change a byte of an old entry, and everybody can see that she did.
pub async fn one_byte_is_noticed(house: &House, aya: &Person) -> Result<()> {
    let database = Database::open(&house.database).await?;
    let found = sql("SELECT idx, leaf FROM entries WHERE action = 'person.deactivated'");
    let (index, mut leaf): (i64, Vec<u8>) = database.fetch_optional(found).await?.context("no entry")?;
    let last = leaf.last_mut().context("an empty leaf")?;
    *last ^= 1;
    let mut tx = database.begin_write().await?;
    tx.execute(sql("UPDATE entries SET leaf = $1 WHERE idx = $2").bind(leaf).bind(index)).await?;
    tx.commit().await?;
    database.close().await;
    aya.fails("audit verify", 10, "")?;
    aya.fails("audit log --action person.deactivated", 10, &index.to_string())
}

/// An export is verified without the server; with one byte changed it is not.
fn exported(cast: &Cast) -> Result<()> {
    let aya = &cast.aya;
    aya.does("audit export --file all.ndjson")?;
    aya.does("audit verify --file all.ndjson")?;
    let text = fs::read_to_string(aya.home.join("all.ndjson"))?;
    let altered = text.replacen("left on Friday", "left on Monday", 1);
    ensure!(altered != text, "the export holds the reason");
    fs::write(aya.home.join("altered.ndjson"), altered)?;
    aya.fails("audit verify --file altered.ndjson", 10, "")?;
    let cut = text.trim_end().rfind('\n').context("one line only")?;
    fs::write(aya.home.join("cut.ndjson"), &text[..=cut])?;
    aya.fails("audit verify --file cut.ndjson", 11, "")
}
