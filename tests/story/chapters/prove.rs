//! 8. Prove: the auditor finds every step with its reason, and nobody altered anything.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use port_control::{
    audit::{Checkpoint, verify::published::PublishedCheck},
    base::{Ambient, SecretValue, Timestamp},
    client::Client,
    store::{Database, DatabaseKind, Query, sql},
};
use sha2::Digest as _;

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
    let knowers = aya.does("audit who-read reports/sandbox/DATABASE_URL")?;
    ensure!(knowers.contains("dana@example.com (per_"), "they have names: {knowers}");
    aya.fails("audit who-read reports/sandbox/DATABASE_URI", 1, "reports/sandbox/DATABASE_URL")?;
    aya.fails("audit log --action secret.reveald", 1, "secret.revealed")?;
    let whole = aya.does("audit person lena@example.com")?;
    ensure!(whole.starts_with("lena@example.com (per_"), "she has a name: {whole}");
    ensure!(whole.contains("person.deactivated  by ada@example.com (per_"), "and others have: {whole}");
    let log = aya.does("audit log --action person.deactivated")?;
    ensure!(log.contains("ada@example.com (per_") && log.contains("lena@example.com (per_"), "{log}");
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

/// No value stands in what the server keeps or says (invariant 3), nor a hash of one without a key: database,
/// the server's own words, exports in every format, a bundle, the report, and the log as it is published.
pub async fn no_value_was_told(house: &House, cast: &Cast) -> Result<()> {
    let forms: Vec<(String, Vec<u8>)> = CANARIES.iter().flat_map(|canary| forms(canary)).collect();
    let mut told = files(house, cast)?;
    told.extend(database(house).await?);
    told.extend(published(house, cast).await?);
    for wanted in [
        "server.log",
        "all.csv",
        "all.cloudevents",
        "all.ocsf",
        "all.bundle",
        "table openings",
        "tile/entries/000",
    ] {
        ensure!(told.iter().any(|(name, bytes)| name.contains(wanted) && !bytes.is_empty()), "no {wanted}");
    }
    // What is looked through is really there.
    for place in ["all.csv", "all.cloudevents", "all.ocsf", "all.ndjson", "all.bundle", "table openings"] {
        let says = told.iter().any(|(name, bytes)| name.contains(place) && holds(bytes, b"left on Friday"));
        ensure!(says, "{place} does not say why she left");
    }
    for (name, bytes) in &told {
        for (form, pattern) in &forms {
            ensure!(!holds(bytes, pattern), "{form} stands in {name}");
        }
    }
    Ok(())
}

fn holds(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}

/// How a value could stand somewhere: as it is, as JSON has it, encoded, and as hashes of it that anybody can make
/// who guesses it.
fn forms(value: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = value.as_bytes();
    let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let digests = [
        ("SHA-1", sha1.as_ref().to_vec()),
        ("SHA-256", sha2::Sha256::digest(bytes).to_vec()),
        ("SHA-512", sha2::Sha512::digest(bytes).to_vec()),
    ];
    let mut forms = vec![(format!("'{value}'"), bytes.to_vec())];
    forms.push((format!("'{value}' as JSON"), value.replace('/', "\\/").into_bytes()));
    for (name, raw) in std::iter::once(("value", bytes.to_vec())).chain(digests) {
        let texts = [
            HEXLOWER.encode(&raw),
            HEXUPPER.encode(&raw),
            // Without what depends on what follows.
            BASE64.encode(&raw[..raw.len() / 3 * 3]),
            BASE64URL.encode(&raw[..raw.len() / 3 * 3]),
        ];
        forms.extend(texts.map(|text| (format!("'{value}' as {name}, {text}"), text.into_bytes())));
        if name != "value" {
            forms.push((format!("'{value}' as {name}, raw"), raw));
        }
    }
    forms
}

type Told = Vec<(String, Vec<u8>)>;

/// What lies in the server's folder, and what the auditor was given.
fn files(house: &House, cast: &Cast) -> Result<Told> {
    let aya = &cast.aya;
    for format in ["csv", "cloudevents", "ocsf"] {
        aya.does(&format!("audit export --format {format} --file all.{format}"))?;
    }
    let mut paths = Vec::new();
    for folder in [house.folder.path().to_owned(), aya.home.join("story")] {
        for entry in fs::read_dir(folder)? {
            paths.push(entry?.path());
        }
    }
    paths.extend(["all.ndjson", "all.csv", "all.cloudevents", "all.ocsf"].map(|name| aya.home.join(name)));
    paths.retain(|path| path.is_file());
    paths.into_iter().map(|path| Ok((path.display().to_string(), fs::read(&path)?))).collect()
}

/// Every row of every table.
async fn database(house: &House) -> Result<Told> {
    let database = Database::open(&house.database).await?;
    let is_sqlite = database.kind() == DatabaseKind::Sqlite;
    let tables = if is_sqlite {
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    } else {
        "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
    };
    let tables: Vec<(String,)> = database.fetch_all(sql(tables)).await?;
    let mut told = Told::new();
    for (table,) in tables {
        // A row as text, with bytes in hexadecimal.
        let row = if is_sqlite {
            let columns = format!("SELECT name FROM pragma_table_info('{table}')");
            let columns: Vec<(String,)> = database.fetch_all(Query::composed(columns, Vec::new())).await?;
            let columns: Vec<String> = columns.iter().map(|(name,)| format!("quote({name})")).collect();
            format!("SELECT {} FROM {table}", columns.join(" || ' ' || "))
        } else {
            format!("SELECT CAST(it AS TEXT) FROM {table} it")
        };
        let rows: Vec<(String,)> = database.fetch_all(Query::composed(row, Vec::new())).await?;
        let text: Vec<String> = rows.into_iter().map(|(row,)| row).collect();
        told.push((format!("table {table}"), text.join("\n").into_bytes()));
    }
    database.close().await;
    ensure!(told.len() > 20, "{} tables", told.len());
    Ok(told)
}

/// What is published of the log, and a bundle of it.
async fn published(house: &House, cast: &Cast) -> Result<Told> {
    let kept = fs::read(cast.aya.home.join("portctl/credentials.json"))?;
    let kept: serde_json::Value = serde_json::from_slice(&kept)?;
    let token = kept["tokens"].as_object().and_then(|it| it.values().next()?.as_str()).context("no token")?;
    let token = SecretValue::from(token.to_owned());
    let server = house.server.url.parse().map_err(anyhow::Error::msg)?;
    let client = Client::new(server, Some(token), Ambient::system(Timestamp::EPOCH))?;
    let note = client.audit_checkpoint().await?;
    let keys = client.audit_keys().await?;
    let mut check = PublishedCheck::new(Checkpoint::open_any(&note, &keys)?, Vec::new())?;
    let mut told = vec![("checkpoint".to_owned(), note.into_bytes())];
    while let Some(piece) = check.wanted() {
        let bytes = client.audit_piece(&piece).await?;
        check.take(&bytes)?;
        told.push((piece.path(), bytes));
    }
    check.finish()?;
    let (mut bundle, mut bytes) = (client.audit_bundle(0, None).await?, Vec::new());
    while let Some(piece) = bundle.next().await? {
        bytes.extend(piece);
    }
    told.push(("all.bundle".to_owned(), bytes));
    Ok(told)
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
