//! Logs that somebody altered: each way is found, with the exit code that says whether something was altered
//! (10) or is not there (11).

use std::{fs, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    audit::{
        Checkpoint, VerifierKey, leaf_hash,
        tile::{bundle, unbundle},
        verify::{ExportCheck, Recount, check_database, published::Piece},
    },
    keys::LogSigner,
    store::{Database, Query},
};
use proptest::{prelude::*, test_runner::TestRunner};

use super::published::{Files, Published, check, lay_out};
use crate::{
    peers::Peers,
    support::{Given, on_each_database, on_sqlite, program::Portctl, trial},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_sqlite(peers, "log::every_mutation_of_what_is_published_is_found", published_files);
    trials.extend(on_each_database(peers, "log::every_mutation_of_the_database_is_found", rows));
    trials.push(trial("log::parsers_take_one_spelling_only", || async { parsers() }));
    trials
}

/// What `portctl audit verify` says of a folder.
struct Auditor<'p> {
    portctl: Portctl,
    files: &'p Files,
    key: String,
    folder: tempfile::TempDir,
}

type Change<'c> = &'c dyn Fn(&mut Files);

impl Auditor<'_> {
    fn verifies(&self, arguments: &[&str]) -> Result<i32> {
        let mut all = vec!["audit", "verify", "--key", &self.key];
        all.extend_from_slice(arguments);
        let answer = self.portctl.run(&all)?;
        ensure!(answer.code == 0 || answer.err.len() > 10, "it does not say why: {}", answer.err);
        Ok(answer.code)
    }

    fn folder(&self, name: &str, change: Change<'_>, more: &[&str]) -> Result<i32> {
        let folder = self.folder.path().join(name);
        let mut files = self.files.clone();
        change(&mut files);
        ensure!(&files != self.files || name.starts_with("whole"), "{name} changes nothing");
        lay_out(&files, &folder)?;
        let shown = folder.display().to_string();
        let mut arguments = vec!["--dir", &shown];
        arguments.extend_from_slice(more);
        self.verifies(&arguments)
    }

    fn file(&self, name: &str, bytes: &[u8], flag: &str) -> Result<i32> {
        let file = self.folder.path().join(name);
        fs::write(&file, bytes)?;
        self.verifies(&[flag, &file.display().to_string()])
    }
}

fn flip(files: &mut Files, path: &str, at: usize) {
    if let Some(byte) = files.get_mut(path).and_then(|bytes| bytes.get_mut(at)) {
        *byte ^= 1;
    }
}

fn entries(files: &mut Files, path: &str, change: impl Fn(&mut Vec<Vec<u8>>)) {
    let mut leaves: Vec<Vec<u8>> =
        unbundle(&files[path]).expect("a bundle").into_iter().map(<[u8]>::to_vec).collect();
    change(&mut leaves);
    files.insert(path.to_owned(), bundle(&leaves).expect("entries"));
}

const FIRST: &str = "tile/entries/000";

async fn published_files(given: Given) -> Result<()> {
    let published = Published::new(&given).await?;
    let (old, old_note) = published.checkpoint().await?;
    published.grow(50).await?;
    let (checkpoint, files) = published.files().await?;
    ensure!(old.size < checkpoint.size && checkpoint.size < 512, "{}", checkpoint.size);
    let folder = tempfile::tempdir()?;
    let portctl = Portctl::new(&folder.path().join("home"), &published.house.url, None)?;
    let auditor = Auditor { portctl, files: &files, key: published.key.to_string(), folder };
    let kept = auditor.folder.path().join("kept");
    fs::write(&kept, &old_note)?;
    let kept = kept.display().to_string();
    let since = ["--since", kept.as_str()];
    ensure!(auditor.verifies(&["--url", &published.house.url])? == 0, "the published log is whole");
    ensure!(auditor.verifies(&["--url", &published.house.url, "--since", &kept])? == 0);
    ensure!(auditor.folder("whole", &|_| (), &since)? == 0, "the folder is whole");
    folders(&auditor, checkpoint.size)?;
    forks(&auditor, &checkpoint, &since)?;
    ensure!(auditor.verifies(&["--url", "http://127.0.0.1:1"])? == 1, "nobody is there");
    ensure!(auditor.verifies(&["--dir", "/nowhere"])? == 2, "no folder");
    ensure!(auditor.verifies(&["--dir", "/tmp", "--url", "http://127.0.0.1:1"])? == 2, "one thing at a time");
    let bundle = published.bundle(100, Some(300)).await?;
    bundles(&auditor, &bundle)?;
    exports(&auditor, &published.export().await?)?;
    any_byte(&files, &bundle, &published.key)
}

fn folders(auditor: &Auditor<'_>, size: u64) -> Result<()> {
    let partial = format!("tile/entries/001.p/{}", size - 256);
    let hashes = format!("tile/0/001.p/{}", size - 256);
    let (partial, hashes) = (partial.as_str(), hashes.as_str());
    let mutations: &[(&str, i32, Change<'_>)] = &[
        ("a byte of an entry", 10, &|files| flip(files, FIRST, 100)),
        ("the length of an entry", 10, &|files| flip(files, FIRST, 1)),
        ("a hash of a tile", 10, &|files| flip(files, "tile/0/000", 40)),
        ("a hash of a higher tile", 10, &|files| flip(files, "tile/1/000.p/1", 0)),
        ("a hash of a partial tile", 10, &|files| flip(files, hashes, 40)),
        ("an entry of a partial bundle", 10, &|files| flip(files, partial, 100)),
        ("the body of the checkpoint", 10, &|files| flip(files, "checkpoint", 30)),
        ("the signature", 10, &|files| {
            let at = files["checkpoint"].len() - 20;
            flip(files, "checkpoint", at);
        }),
        ("a gap", 11, &|files| entries(files, FIRST, |leaves| drop(leaves.remove(7)))),
        ("an entry twice", 10, &|files| entries(files, FIRST, |leaves| leaves.insert(7, leaves[7].clone()))),
        ("the order of two", 10, &|files| entries(files, FIRST, |leaves| leaves.swap(20, 60))),
        ("no last entry", 11, &|files| entries(files, partial, |leaves| drop(leaves.pop()))),
        ("one entry more", 10, &|files| entries(files, partial, |leaves| leaves.push(leaves[0].clone()))),
        ("no bundle", 11, &|files| drop(files.remove(partial))),
        ("no tile", 11, &|files| drop(files.remove("tile/0/000"))),
        ("a tile cut off", 11, &|files| files.get_mut("tile/0/000").expect("a tile").truncate(8000)),
        ("a tile with more in it", 10, &|files| files.get_mut(hashes).expect("a tile").push(0)),
        ("no checkpoint", 11, &|files| drop(files.remove("checkpoint"))),
        ("entries beyond the checkpoint", 10, &|files| {
            files.insert("tile/entries/001".to_owned(), files[FIRST].clone());
        }),
        ("an older partial file that is another", 10, &|files| {
            files.insert("tile/entries/000.p/1".to_owned(), vec![0, 1, b'x']);
        }),
        ("a file that is none of a log", 10, &|files| drop(files.insert("tile/0/0".to_owned(), Vec::new()))),
    ];
    for (name, code, change) in mutations {
        let found = auditor.folder(name, change, &[])?;
        ensure!(found == *code, "{name}: exit code {found}, not {code}");
    }
    Ok(())
}

/// A log that was rewritten, and signed anew with the log's own key.
fn forks(auditor: &Auditor<'_>, checkpoint: &Checkpoint, since: &[&str]) -> Result<()> {
    let other = LogSigner::from_seed(&[9; 32]);
    let foreign = |files: &mut Files| {
        let note = checkpoint.sign(&other).into_bytes();
        files.insert("checkpoint".to_owned(), note);
    };
    ensure!(auditor.folder("another key", &foreign, since)? == 10);
    let own = LogSigner::from_seed(&[8; 32]);
    let key = VerifierKey::new(&checkpoint.origin, own.public_key()).map_err(anyhow::Error::msg)?;
    let (whole, forked) = (
        signed_by(auditor.files, checkpoint, &own, None),
        signed_by(auditor.files, checkpoint, &own, Some(7)),
    );
    let kept = auditor.folder.path().join("forked-from");
    fs::write(&kept, &whole["checkpoint"])?;
    let (kept, key) = (kept.display().to_string(), key.to_string());
    for (name, files, code) in [("same", &whole, 0), ("split view", &forked, 10)] {
        let folder = auditor.folder.path().join(name);
        lay_out(files, &folder)?;
        let shown = folder.display().to_string();
        let verify = ["audit", "verify", "--dir", &shown, "--key", &auditor.key, "--vkey", &key];
        let answer = auditor.portctl.run(&verify)?;
        ensure!(answer.code == 0, "by itself it is consistent: {}", answer.err);
        let answer = auditor.portctl.run(&[verify.as_slice(), &["--since", &kept]].concat())?;
        ensure!(answer.code == code, "{name}: {}: {}", answer.code, answer.err);
        // Longer ago, before and after the change.
        let old = auditor.portctl.run(&[verify.as_slice(), since].concat())?;
        ensure!(old.code == code, "{name} since: {}: {}", old.code, old.err);
    }
    Ok(())
}

/// The same log with another key, and with an entry rewritten so that everything fits.
fn signed_by(files: &Files, checkpoint: &Checkpoint, signer: &LogSigner, rewrite: Option<usize>) -> Files {
    let mut files = files.clone();
    if let Some(at) = rewrite {
        entries(&mut files, FIRST, |leaves| {
            let text = String::from_utf8(leaves[at].clone()).expect("text");
            let other = if text.contains("\"allow\"") {
                ("\"allow\"", "\"deny\"")
            } else {
                ("\"deny\"", "\"allow\"")
            };
            leaves[at] = text.replace(other.0, other.1).into_bytes();
        });
    }
    let mut tree = Recount::default();
    let bundles: Vec<(String, Vec<u8>)> = files
        .iter()
        .filter(|(path, _)| path.starts_with("tile/entries/"))
        .map(|(p, b)| (p.clone(), b.clone()))
        .collect();
    for (path, bytes) in bundles {
        let mut hashes = Vec::new();
        let mut subtree = Recount::default();
        for leaf in unbundle(&bytes).expect("a bundle") {
            hashes.extend(leaf_hash(leaf));
            subtree.push(leaf_hash(leaf));
            tree.push(leaf_hash(leaf));
        }
        if let Some(Piece::Entries { width: 256, .. }) = Piece::from_path(&path) {
            files.insert("tile/1/000.p/1".to_owned(), subtree.root().to_vec());
        }
        files.insert(path.replace("entries", "0"), hashes);
    }
    let rewritten = Checkpoint { root: tree.root(), ..checkpoint.clone() };
    files.insert("checkpoint".to_owned(), rewritten.sign(signer).into_bytes());
    files
}

fn lines(bytes: &[u8], change: impl Fn(&mut Vec<String>)) -> Vec<u8> {
    let mut lines: Vec<String> = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
    change(&mut lines);
    (lines.join("\n") + "\n").into_bytes()
}

/// What can be done to a line with openings. The first field of every entry is its actor.
fn spoil_opening(line: &mut String, what: &str) {
    let mut entry: serde_json::Value = serde_json::from_str(line).expect("an entry");
    let openings = entry["openings"].as_object_mut().expect("openings");
    match what {
        "removed" => drop(openings.remove("actor")),
        // Nothing in the log says so.
        "forgotten" => openings["actor"] = serde_json::json!({ "forgotten": 150 }),
        what => openings["actor"][what] = "00".into(),
    }
    *line = entry.to_string();
}

fn bundles(auditor: &Auditor<'_>, bundle: &[u8]) -> Result<()> {
    ensure!(auditor.file("bundle", bundle, "--bundle")? == 0, "the bundle is whole");
    mutated_lines(auditor, "bundle", bundle, "--bundle")?;
    let wider = lines(bundle, |lines| lines[0] = lines[0].replace("\"to\":300", "\"to\":301"));
    ensure!(auditor.file("wider", &wider, "--bundle")? != 0, "a range that is wider than what is there");
    let beside = lines(bundle, |lines| {
        let mut header: serde_json::Value = serde_json::from_str(&lines[0]).expect("a header");
        header["range"]["left"][0] = "00".repeat(32).into();
        lines[0] = header.to_string();
    });
    ensure!(auditor.file("beside", &beside, "--bundle")? == 10, "what stands beside the range");
    // It shows nothing of what came before its range.
    let kept = auditor.folder.path().join("small");
    let note = String::from_utf8(auditor.files["checkpoint"].clone())?;
    fs::write(&kept, note)?;
    let file = auditor.folder.path().join("bundle").display().to_string();
    let same = auditor.verifies(&["--bundle", &file, "--since", &kept.display().to_string()])?;
    ensure!(same == 0 || same == 2, "the same checkpoint, or one that the bundle cannot show: {same}");
    Ok(())
}

fn exports(auditor: &Auditor<'_>, export: &[u8]) -> Result<()> {
    ensure!(auditor.file("export", export, "--file")? == 0, "the export is whole");
    mutated_lines(auditor, "export", export, "--file")
}

/// Something that is done to the lines of a file.
type Mutation<'m> = &'m dyn Fn(&mut Vec<String>);

fn mutated_lines(auditor: &Auditor<'_>, name: &str, whole: &[u8], flag: &str) -> Result<()> {
    let mutations: &[(&str, i32, Mutation<'_>)] = &[
        ("salt", 10, &|lines| spoil_opening(&mut lines[9], "salt")),
        ("value", 10, &|lines| spoil_opening(&mut lines[9], "value")),
        ("removed", 11, &|lines| spoil_opening(&mut lines[9], "removed")),
        ("forgotten", 10, &|lines| spoil_opening(&mut lines[9], "forgotten")),
        ("gap", 11, &|lines| drop(lines.remove(9))),
        ("order", 11, &|lines| lines.swap(9, 10)),
        ("twice", 10, &|lines| lines.insert(9, lines[8].clone())),
        ("an index", 11, &|lines| {
            let mut entry: serde_json::Value = serde_json::from_str(&lines[9]).expect("an entry");
            entry["index"] = 399.into();
            lines[9] = entry.to_string();
        }),
        ("an entry", 10, &|lines| lines[9] = lines[9].replacen("\\\"time\\\":1", "\\\"time\\\":2", 1)),
        ("cut off", 11, &|lines| drop(lines.pop())),
        ("going on", 10, &|lines| lines.push(lines[9].clone())),
        ("signature", 10, &|lines| lines[0] = lines[0].replacen("\\n\",\"filtered", "A\\n\",\"filtered", 1)),
    ];
    for (what, code, change) in mutations {
        let bytes = lines(whole, change);
        ensure!(bytes != whole, "{what} changes nothing");
        let found = auditor.file(&format!("{name} {what}"), &bytes, flag)?;
        ensure!(found == *code, "{name}, {what}: exit code {found}, not {code}");
    }
    Ok(())
}

/// Whichever byte of whichever file: none is without meaning.
fn any_byte(files: &Files, bundle: &[u8], key: &VerifierKey) -> Result<()> {
    check(files, key, Vec::new())?;
    check_lines(bundle, key)?;
    let paths: Vec<&String> = files.keys().collect();
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) });
    let chosen = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1u8..);
    let outcome = runner.run(&chosen, |(which, at, by)| {
        let mut altered = files.clone();
        let path = paths[which.index(paths.len())];
        let bytes = altered.get_mut(path).expect("a file");
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        prop_assert!(check(&altered, key, Vec::new()).is_err(), "byte {} of {}", at, path);
        let mut altered = bundle.to_vec();
        let at = which.index(altered.len());
        altered[at] ^= by;
        prop_assert!(check_lines(&altered, key).is_err(), "byte {} of the bundle", at);
        Ok(())
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))
}

fn check_lines(bytes: &[u8], key: &VerifierKey) -> Result<()> {
    let text = std::str::from_utf8(bytes)?;
    let mut lines = text.strip_suffix('\n').context("cut off")?.split('\n');
    let mut check = ExportCheck::new(lines.next().unwrap_or_default(), key)?;
    for line in lines {
        check.line(line)?;
    }
    check.finish()?;
    Ok(())
}

/// Every column of the database that means anything.
async fn rows(given: Given) -> Result<()> {
    let published = Published::new(&given).await?;
    let (key, url) = (published.key.clone(), given.url.clone());
    published.house.close().await?;
    let database = Database::open(&url).await?;
    let report = check_database(&database, std::slice::from_ref(&key)).await?;
    ensure!(report.size > 300 && report.missing == 0 && report.checkpoints > 1, "{report:?}");
    let blob = |text: &str| {
        text.replace("BLOB", if url.starts_with("sqlite:") { "x'00'" } else { "'\\x00'::bytea" })
    };
    for change in [
        "UPDATE entries SET leaf = BLOB WHERE idx = 7",
        "UPDATE entries SET time = time + 1 WHERE idx = 7",
        "UPDATE entries SET kind = 'outcome' WHERE idx = 7",
        "UPDATE entries SET action = 'secret.read' WHERE idx = 7",
        "UPDATE entries SET decision = 'maybe' WHERE idx = 7",
        "UPDATE entries SET actor = 'per_somebody' WHERE idx = 7",
        "UPDATE entries SET subject = 'per_somebody' WHERE idx = 7",
        "UPDATE entries SET application = 'other' WHERE idx = 7",
        "UPDATE entries SET environment = 'other' WHERE idx = 7",
        "UPDATE entries SET secret = 'OTHER' WHERE idx = 7",
        "UPDATE entries SET scope = 'other' WHERE idx = 7",
        "UPDATE entries SET request = 'req_other' WHERE idx = 7",
        "UPDATE entries SET idx = 1000000 WHERE idx = 7",
        "UPDATE openings SET body = replace(body, '\"salt\":\"', '\"salt\":\"0') WHERE entry = 7",
        "UPDATE openings SET body = replace(body, '\"value\":\"', '\"value\":\"0') WHERE entry = 7",
        "UPDATE openings SET body = '{}' WHERE entry = 7",
        "DELETE FROM openings WHERE entry = 7",
        "DELETE FROM entries WHERE idx = 7",
        "DELETE FROM entries WHERE idx = (SELECT max(idx) FROM entries)",
        "INSERT INTO openings (entry, body) VALUES (1000000, '{}')",
        "UPDATE log_tiles SET hashes = BLOB WHERE level = 0",
        "UPDATE log_tiles SET hashes = BLOB WHERE level = 1",
        "DELETE FROM log_tiles WHERE level = 0",
        "UPDATE checkpoints SET note = replace(note, '\n\n', '\n\n\n') WHERE size = (SELECT max(size) FROM checkpoints)",
        "UPDATE checkpoints SET size = size - 1 WHERE size = (SELECT min(size) FROM checkpoints)",
        "UPDATE log_head SET size = size + 1",
        "UPDATE log_head SET size = size - 1",
        "UPDATE log_head SET root = BLOB",
    ] {
        is_found(&database, &key, &blob(change)).await?;
    }
    check_database(&database, std::slice::from_ref(&key)).await?;
    Ok(())
}

/// Makes the change, looks, and takes it back.
async fn is_found(database: &Database, key: &VerifierKey, change: &str) -> Result<()> {
    let tables = ["entries", "openings", "log_tiles", "checkpoints", "log_head"];
    let run = async |text: String| -> Result<u64> {
        let mut tx = database.begin_write().await?;
        let changed = tx.execute(Query::composed(text, Vec::new())).await?;
        tx.commit().await?;
        Ok(changed)
    };
    for table in tables {
        run(format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await?;
    }
    ensure!(run(change.to_owned()).await? > 0, "it changes nothing: {change}");
    let found = check_database(database, std::slice::from_ref(key)).await;
    for table in tables {
        run(format!("DELETE FROM {table}")).await?;
        run(format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await?;
        run(format!("DROP TABLE kept_{table}")).await?;
    }
    let problem = found.err().with_context(|| format!("it is not found: {change}"))?;
    let code = problem.kind.exit_code();
    ensure!(code == 10 || code == 11, "{change}: {code}: {problem}");
    Ok(())
}

/// Whatever comes: no parser panics, and what it takes it writes in the same way.
fn parsers() -> Result<()> {
    let signer = LogSigner::from_seed(&[1; 32]);
    let key = VerifierKey::new("example.com/log", signer.public_key()).map_err(anyhow::Error::msg)?;
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) });
    let text = prop_oneof![
        ".{0,80}",
        "[a-z./]{1,9}\n[0-9]{1,4}\n[A-Za-z0-9+/]{43}=\n",
        "tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?",
        "[a-z./]{1,9}\\+[0-9a-f]{8}\\+[A-Za-z0-9+/=]{1,48}",
        "\\{\"index\":[0-9],\"leaf\":\"[a-z]*\",\"openings\":\\{\\}\\}",
    ];
    let outcome = runner.run(&text, |text| {
        if let Some(checkpoint) = Checkpoint::from_body(&text) {
            prop_assert_eq!(checkpoint.body(), text.clone());
        }
        if let Some(piece) = Piece::from_path(&text) {
            prop_assert_eq!(piece.path(), text.clone());
        }
        if let Ok(key) = text.parse::<VerifierKey>() {
            prop_assert_eq!(key.to_string(), text.trim());
        }
        if let Some(leaves) = unbundle(text.as_bytes()) {
            let leaves: Vec<Vec<u8>> = leaves.into_iter().map(<[u8]>::to_vec).collect();
            prop_assert_eq!(bundle(&leaves).expect("short entries"), text.as_bytes());
        }
        prop_assert!(Checkpoint::open(&text, &key).is_err());
        prop_assert!(ExportCheck::new(&text, &key).is_err());
        let header = serde_json::json!({
            "port_control_export": 1, "filtered": false, "filter": {},
            "checkpoint": Checkpoint { origin: "example.com/log".to_owned(), size: 3, root: [7; 32] }.sign(&signer),
        });
        let mut check = ExportCheck::new(&header.to_string(), &key).expect("a header");
        prop_assert!(check.line(&text).is_err());
        Ok(())
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))
}
