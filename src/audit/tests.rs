//! Whole logs, and what is found where somebody changed a byte of one.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    checkpoint::newest,
    pin::PinFile,
    read::{Filter, Reader},
    tile::TreeReader,
    verify::{
        ExportCheck, Report, check_database, check_growth,
        published::{Piece, PublishedCheck},
    },
    *,
};
use crate::{
    base::{
        Ambient, Problem, ProblemKind, Result, Timestamp,
        ambient::SeededChance,
        ids::{PersonId, RequestId},
        time::ManualClock,
    },
    keys::LogSigner,
    policy::{Action, FactVersions, Permit, Principal, Resource},
    store::{Arg, Database, Query, WriteTx, sql},
};

struct Confirms;

#[async_trait]
impl FactsOfNow for Confirms {
    async fn confirm(&self, _: &mut WriteTx, _: &Permit, _: Timestamp) -> Result<()> {
        Ok(())
    }
}

struct Acts {
    permit: Permit,
    drafts: Vec<Draft>,
}

#[async_trait]
impl Unit for Acts {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        for draft in &self.drafts {
            work.record(draft.clone());
        }
        Ok(())
    }
}

struct House {
    _folder: tempfile::TempDir,
    database: Database,
    ambient: Ambient,
    clock: Arc<ManualClock>,
    log: Log,
    signer: Signer,
    key: VerifierKey,
    dana: PersonId,
}

fn origin() -> &'static str {
    "example.com/log"
}

fn act_of(ambient: &Ambient, dana: PersonId, drafts: Vec<Draft>) -> Acts {
    let rests_on = FactVersions::default();
    let permit =
        Permit::for_tests(Principal::Person(dana), Action::ReadLog, Resource::Log, rests_on, ambient.now());
    Acts { permit, drafts }
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}/data.db", folder.path().display())).await.unwrap();
        database.migrate().await.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
        let ambient = Ambient::new(clock.clone(), Arc::new(SeededChance::new(1)));
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(Confirms)).await.unwrap();
        let seed = LogSigner::from_seed(&[1; 32]);
        let signer = Signer::new(database.clone(), ambient.clone(), seed, origin()).unwrap();
        let key = signer.verifier().clone();
        let dana = ambient.id();
        Self { _folder: folder, database, ambient, clock, log, signer, key, dana }
    }

    fn permit(&self) -> Permit {
        let rests_on = FactVersions::default();
        let who = Principal::Person(self.dana);
        Permit::for_tests(who, Action::ReadLog, Resource::Log, rests_on, self.ambient.now())
    }

    async fn record(&self, drafts: Vec<Draft>) {
        self.clock.advance(std::time::Duration::from_secs(1));
        self.log.perform(Acts { permit: self.permit(), drafts }).await.unwrap();
    }

    /// So many entries of several sorts, signed after each of `steps`.
    async fn grow(&mut self, steps: &[usize]) {
        let at = "reports/production".parse().unwrap();
        let request: RequestId = self.ambient.id();
        for step in steps {
            let drafts = (0..*step)
                .map(|n| match n % 3 {
                    0 => {
                        Draft::act("secret.set").secret(&at, &"A".parse().unwrap()).with("version", n as u64)
                    }
                    1 => Draft::act("request.created")
                        .request(request)
                        .environment(&at)
                        .reason("INC-1\u{1b}[2J"),
                    _ => Draft::refused("session.began").subject(self.dana),
                })
                .collect();
            self.record(drafts).await;
            self.signer.sign(&self.log.head()).await.unwrap();
        }
    }

    async fn check(&self) -> Result<Report> {
        check_database(&self.database, std::slice::from_ref(&self.key)).await
    }

    /// Changes the database behind the log's back.
    async fn alter(&self, text: &str, args: Vec<Arg>) {
        let mut tx = self.database.begin_write().await.unwrap();
        assert!(tx.execute(Query::composed(text.to_owned(), args)).await.unwrap() > 0, "{text}");
        tx.commit().await.unwrap();
    }

    async fn export(&self, filter: Filter) -> String {
        let reader = Reader::new(self.database.clone(), self.log.clone());
        let mut export = reader.export(self.permit(), filter, std::slice::from_ref(&self.key)).await.unwrap();
        let mut text = String::new();
        while let Some(piece) = export.next().await.unwrap() {
            text.push_str(&piece);
        }
        text
    }
}

fn check_export(text: &str, key: &VerifierKey) -> Result<Report> {
    let mut lines = text.lines();
    let mut check = ExportCheck::new(lines.next().unwrap_or_default(), key)?;
    for line in lines {
        check.line(line)?;
    }
    check.finish()
}

fn is_found(outcome: Result<Report>) -> Problem {
    let problem = outcome.unwrap_err();
    assert!(problem.is(ProblemKind::LogAltered) || problem.is(ProblemKind::LogIncomplete), "{problem}");
    problem
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_whole() {
    let mut house = House::new().await;
    house.grow(&[1, 2, 255, 300, 3]).await;
    let report = house.check().await.unwrap();
    assert_eq!((report.size, report.checkpoints, report.missing, report.forgotten), (561, 5, 0, 0));
    assert!(report.present > 1000);
}

/// Units that draft much cost little until their entries are appended: all at once these would take too long.
#[tokio::test]
async fn units_with_many_entries_share_several_transactions() {
    let house = House::new().await;
    let acts = (0..30).map(|_| {
        let drafts = vec![Draft::act("person.groups-changed").subject(house.dana); 200];
        house.log.perform(act_of(&house.ambient, house.dana, drafts))
    });
    for outcome in futures::future::join_all(acts).await {
        outcome.unwrap();
    }
    let batches: Vec<(i64,)> =
        house.database.fetch_all(sql("SELECT size FROM batches ORDER BY first")).await.unwrap();
    assert_eq!(batches.iter().map(|(size,)| size).sum::<i64>(), 6000);
    assert!(batches.iter().all(|(size,)| *size <= 2200), "{batches:?}");
    assert_eq!(house.check().await.unwrap().size, 6000);
}

#[tokio::test]
async fn every_change_to_the_log_is_found() {
    let changes = [
        "UPDATE entries SET leaf = CAST(replace(CAST(leaf AS TEXT), 'allow', 'deny') AS BLOB) WHERE idx = 3",
        "UPDATE entries SET leaf = CAST(CAST(leaf AS TEXT) || ' ' AS BLOB) WHERE idx = 3",
        "UPDATE entries SET leaf = CAST('' AS BLOB) WHERE idx = 3",
        "UPDATE entries SET time = time + 1 WHERE idx = 3",
        "UPDATE entries SET kind = 'denial' WHERE idx = 3",
        "UPDATE entries SET action = 'secret.revealed' WHERE idx = 3",
        "UPDATE entries SET decision = 'deny' WHERE idx = 3",
        "UPDATE entries SET actor = 'per_other' WHERE idx = 3",
        "UPDATE entries SET subject = 'per_other' WHERE idx = 3",
        "UPDATE entries SET subject = NULL WHERE idx = 5",
        "UPDATE entries SET application = 'billing' WHERE idx = 3",
        "UPDATE entries SET application = NULL, environment = NULL, secret = NULL WHERE idx = 3",
        "UPDATE entries SET environment = 'sandbox' WHERE idx = 3",
        "UPDATE entries SET secret = 'B' WHERE idx = 3",
        "UPDATE entries SET scope = 'developer' WHERE idx = 3",
        "UPDATE entries SET request = NULL WHERE idx = 4",
        "DELETE FROM entries WHERE idx = 3",
        "DELETE FROM entries WHERE idx = 0",
        "DELETE FROM entries WHERE idx = 599",
        "UPDATE entries SET idx = 1000 WHERE idx = 3",
        "INSERT INTO entries SELECT 600, leaf, time, kind, action, decision, actor, subject, application, \
         environment, secret, scope, request FROM entries WHERE idx = 3",
        "UPDATE openings SET body = replace(body, 'INC-1', 'INC-2') WHERE entry = 4",
        "UPDATE openings SET body = '{}' WHERE entry = 4",
        "UPDATE openings SET body = 'x' WHERE entry = 4",
        "UPDATE openings SET body = replace(body, '\"reason\"', '\"remark\"') WHERE entry = 4",
        "UPDATE openings SET body = (SELECT body FROM openings WHERE entry = 7) WHERE entry = 4",
        "DELETE FROM openings WHERE entry = 4",
        "INSERT INTO openings (entry, body) VALUES (9999, '{}')",
        "UPDATE log_head SET size = size - 1",
        "UPDATE log_head SET size = size + 1",
        "UPDATE log_head SET root = zeroblob(32)",
        "DELETE FROM log_head",
        "UPDATE checkpoints SET note = replace(note, 'example.com', 'example.org') WHERE size = 300",
        "UPDATE checkpoints SET size = 299 WHERE size = 300",
        "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 300) WHERE size = 600",
        "UPDATE log_tiles SET hashes = zeroblob(8192) WHERE level = 0 AND idx = 1",
        "UPDATE log_tiles SET hashes = zeroblob(64) WHERE level = 1",
        "DELETE FROM log_tiles WHERE level = 0 AND idx = 1",
    ];
    for change in changes {
        let mut house = House::new().await;
        house.grow(&[300, 300]).await;
        house.check().await.unwrap();
        house.alter(change, Vec::new()).await;
        let Err(problem) = house.check().await else { panic!("not found: {change}") };
        is_found(Err(problem));
    }
}

#[tokio::test]
async fn two_entries_that_changed_places_are_found() {
    let mut house = House::new().await;
    house.grow(&[9]).await;
    for (from, to) in [(3, 100), (6, 3), (100, 6)] {
        for table in ["entries SET idx", "openings SET entry"] {
            let column = table.rsplit(' ').next().unwrap();
            let text = format!("UPDATE {table} = {to} WHERE {column} = {from}");
            house.alter(&text, Vec::new()).await;
        }
    }
    is_found(house.check().await);
}

#[tokio::test]
async fn a_log_written_anew_does_not_fit_what_was_signed() {
    let mut house = House::new().await;
    house.grow(&[5]).await;
    let signed = newest(&house.database).await.unwrap().unwrap();
    let mut other = House::new().await;
    other.grow(&[4]).await;
    other.record(vec![Draft::act("secret.set")]).await;
    other.alter("UPDATE checkpoints SET note = $1, size = 5", vec![signed.into()]).await;
    assert!(is_found(other.check().await).is(ProblemKind::LogAltered));
}

#[tokio::test]
async fn a_forged_signature_is_found() {
    let mut house = House::new().await;
    house.grow(&[5]).await;
    let head = house.log.head();
    let forged = Checkpoint { origin: origin().to_owned(), size: head.size, root: head.root }
        .sign(&LogSigner::from_seed(&[2; 32]));
    house.alter("UPDATE checkpoints SET note = $1", vec![forged.into()]).await;
    assert!(is_found(house.check().await).is(ProblemKind::LogAltered));
}

#[tokio::test]
async fn a_database_that_was_set_back_is_not_signed() {
    let mut house = House::new().await;
    house.grow(&[5]).await;
    let before = house.log.head();
    house.grow(&[5]).await;
    let again = |house: &House| {
        let key = LogSigner::from_seed(&[1; 32]);
        Signer::new(house.database.clone(), house.ambient.clone(), key, origin()).unwrap()
    };
    // A replica that has not heard of the newest entries signs nothing, and goes on.
    again(&house).sign(&before).await.unwrap();
    again(&house).sign(&house.log.head()).await.unwrap();
    house.alter("UPDATE log_head SET size = 5", Vec::new()).await;
    assert!(again(&house).sign(&before).await.unwrap_err().is(ProblemKind::LogIncomplete));
}

#[tokio::test]
async fn a_log_that_was_rewritten_is_not_signed() {
    let mut house = House::new().await;
    house.grow(&[300]).await;
    house.alter("UPDATE entries SET leaf = CAST('{}' AS BLOB) WHERE idx = 299", Vec::new()).await;
    house.record(vec![Draft::act("secret.set")]).await;
    let signer =
        Signer::new(house.database.clone(), house.ambient.clone(), LogSigner::from_seed(&[1; 32]), origin())
            .unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let refused = signer.run(&house.log, stop).await.unwrap_err();
    assert!(refused.is(ProblemKind::LogAltered), "{refused}");
    let unsigned: Vec<(i64,)> =
        house.database.fetch_all(crate::store::sql("SELECT size FROM checkpoints")).await.unwrap();
    assert_eq!(unsigned, [(300,)]);
    let act = act_of(&house.ambient, house.dana, vec![Draft::act("secret.set")]);
    assert!(
        house.log.perform(act).await.unwrap_err().is(ProblemKind::LogAltered),
        "and nothing is done any more"
    );
}

#[tokio::test]
async fn nothing_is_done_while_the_pin_cannot_be_believed() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.pin");
    std::fs::write(&path, "of somebody else").unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let (signer, log, told) = (house.signer, house.log.clone(), stop.clone());
    let signer = signer.pinned(Some(Pin::new(PinFile::new(path.clone()))));
    house.log.perform(act_of(&house.ambient, house.dana, vec![Draft::act("secret.set")])).await.unwrap();
    let running = tokio::spawn(async move { signer.run(&log, told).await });
    let drafts = || vec![Draft::act("secret.set")];
    let refused = loop {
        match house.log.perform(act_of(&house.ambient, house.dana, drafts())).await {
            Ok(()) => tokio::task::yield_now().await,
            Err(problem) => break problem,
        }
    };
    assert!(refused.is(ProblemKind::NotRecorded) && refused.detail.contains("log.pin"), "{refused}");
    assert!(house.log.check().await.is_err(), "it is not ready either");
    std::fs::remove_file(&path).unwrap();
    while house.log.perform(act_of(&house.ambient, house.dana, drafts())).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stop.cancel();
    running.await.unwrap().unwrap();
    assert!(path.exists(), "what was signed is pinned");
}

#[tokio::test]
async fn the_signer_follows_the_log() {
    let house = House::new().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let (signer, log, told) = (house.signer, house.log.clone(), stop.clone());
    let running = tokio::spawn(async move { signer.run(&log, told).await });
    let act = || act_of(&house.ambient, house.dana, vec![Draft::act("secret.set")]);
    for size in 1..=3 {
        house.log.perform(act()).await.unwrap();
        loop {
            let note = newest(&house.database).await.unwrap();
            if note.is_some_and(|note| Checkpoint::open(&note, &house.key).unwrap().size == size) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn proofs_come_from_tiles_for_every_signed_size() {
    let mut house = House::new().await;
    house.grow(&[1, 6, 250, 300, 40]).await;
    let notes: Vec<(String,)> = house
        .database
        .fetch_all(crate::store::sql("SELECT note FROM checkpoints ORDER BY size"))
        .await
        .unwrap();
    let signed: Vec<Checkpoint> =
        notes.iter().map(|(note,)| Checkpoint::open(note, &house.key).unwrap()).collect();
    let leaves = tile::leaves(&house.database, 0, 597).await.unwrap();
    for new in &signed {
        let mut tree = TreeReader::new(&house.database, new.size);
        assert_eq!(tree.root().await.unwrap(), new.root);
        for old in signed.iter().filter(|old| old.size <= new.size) {
            let proof = tree.consistency(old.size).await.unwrap();
            check_growth(old, new, &proof).unwrap();
            let forged = Checkpoint { root: [9; 32], ..old.clone() };
            assert!(check_growth(&forged, new, &proof).unwrap_err().is(ProblemKind::LogAltered));
        }
        for index in (0..new.size).step_by(13) {
            let leaf = leaf_hash(&leaves[usize::try_from(index).unwrap()]);
            let proof = tree.inclusion(index).await.unwrap();
            assert!(proof::verify_inclusion(&leaf, index, new.size, &proof, &new.root));
        }
        assert!(tree.inclusion(new.size).await.unwrap_err().is(ProblemKind::NotFound));
        assert!(tree.consistency(new.size + 1).await.unwrap_err().is(ProblemKind::InvalidRequest));
    }
    let shrunk = check_growth(&signed[4], &signed[0], &[]).unwrap_err();
    assert!(shrunk.is(ProblemKind::LogIncomplete));
}

#[tokio::test]
async fn bundles_rebuild_the_tree_and_a_changed_byte_does_not() {
    let mut house = House::new().await;
    house.grow(&[256, 44]).await;
    let signed = Checkpoint::open(&newest(&house.database).await.unwrap().unwrap(), &house.key).unwrap();
    let published = async |spoil: Option<(u64, usize)>, seen: Vec<Checkpoint>| {
        let mut check = PublishedCheck::new(signed.clone(), seen)?;
        while let Some(piece) = check.wanted() {
            let mut bytes = match piece {
                Piece::Entries { number, width } => {
                    let first = number * 256;
                    tile::bundle(&tile::leaves(&house.database, first, first + width).await.unwrap())?
                }
                Piece::Hashes { level, number, width } => {
                    let found = tile::hashes(&house.database, level, number, width).await.unwrap();
                    found.unwrap().concat()
                }
            };
            if let (Piece::Entries { number, .. }, Some((spoiled, at))) = (piece, spoil)
                && number == spoiled
            {
                bytes[at] ^= 1;
            }
            check.take(&bytes)?;
        }
        check.finish()
    };
    assert_eq!(published(None, Vec::new()).await.unwrap().size(), 300);
    assert!(published(None, vec![signed.clone()]).await.is_ok());
    for (size, kind) in [
        (256, ProblemKind::LogAltered),
        (300, ProblemKind::LogAltered),
        (0, ProblemKind::LogAltered),
        (301, ProblemKind::LogIncomplete),
    ] {
        let seen = Checkpoint { size, root: [9; 32], ..signed.clone() };
        assert!(published(None, vec![seen]).await.unwrap_err().is(kind), "{size}");
    }
    for at in [0, 1, 2, 30, 200, 4000] {
        for number in [0, 1] {
            assert!(published(Some((number, at)), Vec::new()).await.is_err(), "{number} {at}");
        }
    }
}

#[tokio::test]
async fn an_export_is_whole_and_every_changed_byte_of_it_is_found() {
    let mut house = House::new().await;
    house.grow(&[3, 4]).await;
    let text = house.export(Filter::default()).await;
    let report = check_export(&text, &house.key).unwrap();
    assert_eq!((report.size, report.missing), (7, 0));
    for at in (0..text.len()).step_by(3) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(altered) = String::from_utf8(bytes) else { continue };
        // What an export says of its own filter is no claim about the log.
        let first_line = text.find('\n').unwrap();
        if check_export(&altered, &house.key).is_ok() {
            assert!(at < first_line, "byte {at} of {:?}", &text[at.saturating_sub(20)..at + 20]);
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    for gone in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(gone);
        is_found(check_export(&fewer.join("\n"), &house.key));
    }
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    is_found(check_export(&swapped.join("\n"), &house.key));
    let mut doubled = lines.clone();
    doubled.insert(2, lines[2]);
    is_found(check_export(&doubled.join("\n"), &house.key));
}

#[tokio::test]
async fn a_filtered_export_says_so_and_proves_each_entry() {
    let mut house = House::new().await;
    house.grow(&[300, 20]).await;
    let filter = Filter { action: Some("request.".to_owned()), ..Filter::default() };
    let text = house.export(filter).await;
    let report = check_export(&text, &house.key).unwrap();
    assert_eq!(report.size, 107);
    assert!(text.lines().next().unwrap().contains("\"filtered\":true"));
    is_found(check_export(&text.replace("INC-1", "INC-2"), &house.key));
    is_found(check_export(&text.replace("\"filtered\":true", "\"filtered\":false"), &house.key));
    is_found(check_export(&text.replacen("\"index\":1,", "\"index\":4,", 1), &house.key));
}

#[tokio::test]
async fn questions_are_answered_in_pages_that_stay_while_the_log_grows() {
    let mut house = House::new().await;
    house.grow(&[30]).await;
    let reader = Reader::new(house.database.clone(), house.log.clone());
    let filter = Filter { application: Some("reports".to_owned()), ..Filter::default() };
    let (mut before, mut found) = (None, Vec::new());
    loop {
        let page = reader.entries(house.permit(), &filter, before, 7).await.unwrap();
        found.extend(page.items.iter().map(|entry| entry.index));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let expected: Vec<u64> = (0..30).rev().filter(|n| n % 3 != 2).collect();
    assert_eq!(found, expected);
    let of = async |filter: Filter| {
        reader.entries(house.permit(), &filter, None, 500).await.map(|page| page.items)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(of(Filter { secret: text("A"), ..Filter::default() }).await.unwrap().len(), 10);
    assert_eq!(of(Filter { decision: text("deny"), ..Filter::default() }).await.unwrap().len(), 10);
    assert_eq!(of(Filter { action: text("secret."), ..Filter::default() }).await.unwrap().len(), 10);
    assert_eq!(of(Filter { action: text("secret"), ..Filter::default() }).await.unwrap().len(), 0);
    assert_eq!(of(Filter { action: text("%."), ..Filter::default() }).await.unwrap().len(), 0);
    let reasons = of(Filter { action: text("request.created"), ..Filter::default() }).await.unwrap();
    assert_eq!(reasons[0].reason.as_deref(), Some("INC-1\u{1b}[2J"));
    assert_eq!(reasons[0].at.as_deref(), Some("reports/production"));
    // Each of those readings is in the log itself.
    let readings = of(Filter { action: text("log.read"), ..Filter::default() }).await.unwrap();
    assert!(readings.len() >= 9);
    assert!(of(Filter { decision: text("maybe"), ..Filter::default() }).await.is_err());
    let (since, until) = (Some(Timestamp::from_millis(2)), Some(Timestamp::from_millis(1)));
    assert!(of(Filter { since, until, ..Filter::default() }).await.is_err());
}

#[tokio::test]
async fn an_altered_entry_is_never_answered_with() {
    let mut house = House::new().await;
    house.grow(&[9]).await;
    house.alter("UPDATE openings SET body = replace(body, 'INC-1', 'INC-2') WHERE entry = 4", vec![]).await;
    let reader = Reader::new(house.database.clone(), house.log.clone());
    let refused = reader.entries(house.permit(), &Filter::default(), None, 50).await.unwrap_err();
    assert!(refused.is(ProblemKind::LogAltered) && refused.detail.contains("entry 4"), "{refused}");
    assert!(!refused.detail.contains("INC"), "{refused}");
}

#[tokio::test]
async fn nobody_and_nothing_is_named_in_a_leaf() {
    let mut house = House::new().await;
    house.grow(&[9]).await;
    let leaves = tile::leaves(&house.database, 0, 9).await.unwrap();
    for leaf in leaves {
        let text = String::from_utf8(leaf).unwrap();
        for word in ["per_", "reports", "INC-1", "req_"] {
            assert!(!text.contains(word), "{text}");
        }
    }
}
