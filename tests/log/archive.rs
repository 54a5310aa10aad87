//! Old entries move to an archive: when they may, whole, and whatever comes in between.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use data_encoding::BASE64;
use futures::{StreamExt as _, future::join_all, stream::BoxStream};
use libtest_mimic::Trial;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, local::LocalFileSystem, path::Path,
};
use port_control::{
    audit::{
        Signer, VerifierKey,
        archive::{Archive, Archivist, ArchivistParts, Entries, Stepped},
        forward::{Forwarder, ForwarderParts},
        verifiers,
        verify::{
            Report,
            archive::{ArchiveCheck, ArchiveReport, ArchivedTile, Manifest, Said},
            check_database,
        },
    },
    base::{
        Ambient, Problem, ProblemKind,
        ambient::SeededChance,
        config::{ArchivePlace, S3Config},
        ids::{HoldId, PersonId},
        time::{ManualClock, Stopwatch},
    },
    keys::{Keys, MasterKey},
    store::{Query, sql},
};
use tokio_util::sync::CancellationToken;

use super::site::Site;
use crate::{
    peers::{Peers, S3, archive_in, wait_for},
    support::{Given, house::BOUND, on_each_database, program::write_private, siem::Siem},
};

const ORIGIN: &str = "example.com/log";
const DAY: Duration = Duration::from_hours(24);
/// How old entries are that move.
const AFTER: Duration = Duration::from_hours(400 * 24);

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let in_a_bucket = match peers.s3 {
        Some(_) => on_each_database(peers, "log::entries_are_archived_in_a_bucket", in_a_bucket),
        None => Vec::new(),
    };
    [
        in_a_bucket,
        on_each_database(peers, "log::entries_are_archived_once_they_are_old", once_old),
        on_each_database(peers, "log::nothing_under_a_hold_is_archived", held),
        on_each_database(peers, "log::archiving_that_is_broken_off_goes_on", broken_off),
        on_each_database(peers, "log::a_hold_that_comes_in_between_is_kept", held_in_between),
        on_each_database(peers, "log::archived_entries_are_forwarded_to_a_new_address", forwarded),
        on_each_database(peers, "log::a_changed_byte_of_an_archive_is_found", changed),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A log with an archive, at a time of its own.
struct Yard {
    site: Site,
    clock: Arc<ManualClock>,
    keys: Keys,
    signer: Signer,
    folder: PathBuf,
    noted: usize,
    _given: Given,
}

impl Yard {
    async fn open(given: Given) -> Result<Self> {
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().map_err(anyhow::Error::msg)?));
        let ambient = Ambient::new(Arc::clone(&clock) as _, Arc::new(SeededChance::new(1)));
        let site = Site::open_in(given.open().await?, ambient).await?;
        let key = given.folder.path().join("master-key");
        write_private(&key, BASE64.encode(&[7; 32]).as_bytes())?;
        let keys = Keys::open(&site.database, MasterKey::from_file(&key)?, site.ambient.clone()).await?;
        let signer =
            Signer::with_keys(site.database.clone(), site.ambient.clone(), keys.clone(), ORIGIN).await?;
        let folder = given.folder.path().join("archive");
        fs::create_dir(&folder)?;
        Ok(Self { site, clock, keys, signer, folder, noted: 0, _given: given })
    }

    /// So many entries more, signed.
    async fn grow(&mut self, entries: usize) -> Result<()> {
        let names: Vec<String> = (self.noted..self.noted + entries).map(|n| format!("n-{n}")).collect();
        let answers = join_all(names.iter().map(|name| self.site.note(name))).await;
        answers.into_iter().collect::<Result<(), Problem>>()?;
        self.noted += entries;
        self.sign().await
    }

    async fn sign(&mut self) -> Result<()> {
        Ok(self.signer.sign(&self.site.log.head()).await?)
    }

    fn archivist(&self) -> Result<Archivist> {
        Ok(self.archivist_of(Archive::open(&ArchivePlace::Folder(self.folder.clone()))?))
    }

    /// One that knows nothing of what another began.
    fn archivist_of(&self, archive: Archive) -> Archivist {
        Archivist::new(ArchivistParts {
            database: self.site.database.clone(),
            log: self.site.log.clone(),
            ambient: self.site.ambient.clone(),
            permits: self.site.permits(),
            keys: self.keys.clone(),
            origin: ORIGIN.to_owned(),
            archive,
            after: AFTER,
        })
    }

    async fn step(&self) -> Result<Stepped> {
        Ok(self.archivist()?.step().await?)
    }

    async fn verifiers(&self) -> Result<Vec<VerifierKey>> {
        Ok(verifiers(&self.keys, ORIGIN).await?)
    }

    async fn check(&self) -> Result<Report> {
        Ok(check_database(&self.site.database, &self.verifiers().await?).await?)
    }

    async fn check_archive(&self) -> Result<ArchiveReport, Problem> {
        let keys = verifiers(&self.keys, ORIGIN).await?;
        check_archive(&files(&self.folder).unwrap_or_default(), &keys)
    }

    async fn write(&self, query: Query) -> Result<()> {
        let mut tx = self.site.database.begin_write().await?;
        tx.execute(query).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn count(&self, text: &'static str) -> Result<i64> {
        let row: Option<(i64,)> = self.site.database.fetch_optional(sql(text)).await?;
        Ok(row.context("no count")?.0)
    }

    async fn hold(&self, person: Option<PersonId>) -> Result<HoldId> {
        let id: HoldId = self.site.ambient.id();
        let row = sql("INSERT INTO holds (id, person, made_by, made_at) VALUES ($1, $2, 'a test', 0)");
        self.write(row.bind(id).bind(person.map(|it| it.to_string()))).await?;
        Ok(id)
    }

    async fn release(&self, hold: HoldId) -> Result<()> {
        self.write(sql("UPDATE holds SET released_at = 1 WHERE id = $1").bind(hold)).await
    }
}

const ENTRIES: &str = "SELECT CAST(count(*) AS BIGINT) FROM entries";
const OPENINGS: &str = "SELECT CAST(count(*) AS BIGINT) FROM openings";
const OPEN: &str = "SELECT CAST(count(*) AS BIGINT) FROM intents WHERE state = 'open'";

pub type Files = BTreeMap<String, Vec<u8>>;

/// Every file of a folder, by its path in there.
pub fn files(folder: &FilePath) -> Result<Files> {
    let (mut found, mut open) = (Files::new(), vec![folder.to_owned()]);
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
                found.insert(name, fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

pub fn check_archive(files: &Files, keys: &[VerifierKey]) -> Result<ArchiveReport, Problem> {
    let read = |path: &str| files.get(path).cloned().ok_or_else(|| Problem::not_found(path.to_owned()));
    let mut ranges: Vec<(u64, u64)> = files.keys().filter_map(|path| Manifest::range_of(path)).collect();
    ranges.sort_unstable();
    let mut check = ArchiveCheck::default();
    for (from, to) in ranges {
        check.range(&read(&Manifest::path(from, to))?, (from, to), keys)?;
        while let Some(number) = check.wanted() {
            let [entries, hashes, openings] = ArchivedTile::paths(number).map(|path| read(&path));
            check.take(&ArchivedTile { entries: entries?, hashes: hashes?, openings: openings? })?;
        }
    }
    for index in check.unheard() {
        check.hear(index, &read(&Said::path(index))?, keys)?;
    }
    check.finish()
}

async fn once_old(given: Given) -> Result<()> {
    let mut yard = Yard::open(given).await?;
    yard.grow(600).await?;
    yard.clock.advance(DAY);
    yard.grow(300).await?;
    ensure!(yard.step().await? == Stepped::Nothing, "everything is young");
    yard.clock.advance(DAY * 399);
    ensure!(yard.step().await? == Stepped::Nothing, "not older than that");
    yard.clock.advance(Duration::from_millis(1));
    ensure!(yard.step().await? == Stepped::Done, "600 are old enough");
    ensure!(yard.step().await? == Stepped::Nothing, "and that was all");
    // Of 902 entries two whole tiles went; what begins and ends moving is among them by now.
    ensure!(yard.count(ENTRIES).await? == 902 - 512, "{}", yard.count(ENTRIES).await?);
    ensure!(yard.count(OPENINGS).await? == 902 - 512, "openings go with them");
    yard.sign().await?;
    let report = yard.check().await?;
    ensure!((report.size, report.archived, report.missing) == (902, 512, 0), "{report:?}");
    let archived = yard.check_archive().await?;
    ensure!(
        archived.entries == 512 && archived.ranges == [(0, 512)] && archived.present > 1000,
        "{archived:?}"
    );
    // The next range joins it.
    yard.clock.advance(AFTER * 2);
    while yard.step().await? == Stepped::Done {
        yard.sign().await?;
    }
    ensure!(yard.count("SELECT CAST(count(*) AS BIGINT) FROM log_archives").await? == 1, "one range");
    let (report, archived) = (yard.check().await?, yard.check_archive().await?);
    ensure!(archived.ranges == [(0, 768)], "{archived:?}");
    ensure!(report.archived == 768, "{report:?}");
    hidden(&yard).await
}

/// Whoever holds the database takes rows and says that they were archived: no entry says so.
async fn hidden(yard: &Yard) -> Result<()> {
    yard.write(sql("DELETE FROM entries WHERE idx >= 768 AND idx < 900")).await?;
    yard.write(sql("DELETE FROM openings WHERE entry >= 768 AND entry < 900")).await?;
    yard.write(sql("UPDATE log_archives SET next_entry = 1024")).await?;
    let found = yard.check().await.expect_err("entries are gone");
    ensure!(is_about_the_log(&found), "{found}");
    yard.write(sql("UPDATE log_archives SET next_entry = 768")).await?;
    let found = yard.check().await.expect_err("entries are gone");
    ensure!(found.to_string().contains("768"), "{found}");
    Ok(())
}

fn is_about_the_log(error: &anyhow::Error) -> bool {
    let is = |kind| error.downcast_ref::<Problem>().is_some_and(|problem| problem.is(kind));
    is(ProblemKind::LogAltered) || is(ProblemKind::LogIncomplete)
}

async fn held(given: Given) -> Result<()> {
    let mut yard = Yard::open(given).await?;
    let lena: PersonId = yard.site.ambient.id();
    yard.grow(300).await?;
    yard.site.note(&format!("what {lena} did")).await?;
    yard.grow(500).await?;
    yard.clock.advance(AFTER + DAY);
    let all = yard.hold(None).await?;
    ensure!(yard.step().await? == Stepped::Nothing, "everything is under a hold");
    let hers = yard.hold(Some(lena)).await?;
    yard.release(all).await?;
    while yard.step().await? == Stepped::Done {
        yard.sign().await?;
    }
    let archived = yard.check_archive().await?;
    ensure!(archived.ranges == [(0, 256), (512, 768)], "{archived:?}");
    ensure!(
        yard.count("SELECT CAST(count(*) AS BIGINT) FROM entries WHERE idx >= 256 AND idx < 512").await?
            == 256
    );
    yard.check().await?;
    yard.release(hers).await?;
    ensure!(yard.step().await? == Stepped::Done, "nothing holds it any more");
    yard.sign().await?;
    ensure!(yard.check_archive().await?.ranges == [(0, 768)], "the gap is closed");
    let report = yard.check().await?;
    // What says that something was moved stays here.
    ensure!(report.archived == 768, "{report:?}");
    // An archive that lost its first range does not look whole.
    let mut files = files(&yard.folder)?;
    files.retain(|path, _| Manifest::range_of(path) != Some((0, 256)));
    let lost = check_archive(&files, &yard.verifiers().await?).expect_err("a range is gone");
    ensure!(lost.is(ProblemKind::LogIncomplete) && lost.more["index"] == 0, "{lost}");
    Ok(())
}

/// Fails at the nth thing that is done to it, in the middle of it where that is a write; or does something
/// else there first.
#[derive(Debug)]
struct Failing {
    store: LocalFileSystem,
    left: AtomicUsize,
    failed: Mutex<Option<String>>,
}

impl Failing {
    fn at(folder: &FilePath, nth: usize) -> Result<Arc<Self>> {
        let store = LocalFileSystem::new_with_prefix(folder)?;
        Ok(Arc::new(Self { store, left: AtomicUsize::new(nth), failed: Mutex::new(None) }))
    }

    fn fails(&self, what: &str, path: &Path) -> bool {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let fails = left.is_err();
        if fails {
            self.failed.lock().expect("no panic").get_or_insert_with(|| format!("{what} {path}"));
        }
        fails
    }
}

fn gone() -> Error {
    Error::Generic { store: "failing", source: "as the test wants it".into() }
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failing")
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        if self.fails("writing", at) {
            let bytes: Vec<u8> = payload.iter().flat_map(|bytes| bytes.to_vec()).collect();
            let half = bytes[..bytes.len() / 2].to_vec();
            self.store.put_opts(at, half.into(), opts).await?;
            return Err(gone());
        }
        self.store.put_opts(at, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if self.fails("reading", at) { Err(gone()) } else { self.store.get_opts(at, options).await }
    }

    async fn get_ranges(
        &self,
        at: &Path,
        ranges: &[Range<u64>],
    ) -> object_store::Result<Vec<axum::body::Bytes>> {
        self.store.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        if self.fails("deleting", &Path::default()) {
            return futures::stream::once(async { Err(gone()) }).boxed();
        }
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        if self.fails("listing", prefix.unwrap_or(&Path::default())) {
            return futures::stream::once(async { Err(gone()) }).boxed();
        }
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// As the folder's own archive calls it: what one began, the other ends.
fn name_of(yard: &Yard) -> String {
    format!("file://{}", yard.folder.display())
}

/// It is broken off at each thing that it does outside of the database, one after the other; each time it is
/// gone on with, and nothing is missing at any moment.
async fn broken_off(given: Given) -> Result<()> {
    let mut yard = Yard::open(given).await?;
    yard.grow(300).await?;
    yard.clock.advance(AFTER + DAY);
    let (before, mut points) = (yard.count(ENTRIES).await?, Vec::new());
    loop {
        let store = Failing::at(&yard.folder, points.len())?;
        let archivist = yard.archivist_of(Archive::over(Arc::clone(&store) as _, &name_of(&yard)));
        let stepped = archivist.step().await;
        let Some(failed) = store.failed.lock().expect("no panic").clone() else {
            ensure!(stepped? == Stepped::Done, "nothing kept it from its end");
            break;
        };
        let problem = stepped.expect_err("it was broken off");
        ensure!(problem.is(ProblemKind::ArchiveUnavailable), "{problem}");
        ensure!(yard.count(ENTRIES).await? == before + 1, "nothing is gone, and it is said that it began");
        ensure!(yard.count(OPEN).await? == 1, "it is begun once");
        yard.sign().await?;
        yard.check().await?;
        points.push(failed);
    }
    let kinds = |kind: &str| points.iter().filter(|it| it.starts_with(kind)).count();
    ensure!(kinds("writing") == 4 && kinds("reading") == 4 && kinds("listing") == 1, "{points:#?}");
    yard.sign().await?;
    let (report, archived) = (yard.check().await?, yard.check_archive().await?);
    ensure!(report.archived == 256 && archived.ranges == [(0, 256)], "{report:?} {archived:?}");
    ensure!(
        yard.count(OPEN).await? == 0 && yard.step().await? == Stepped::Nothing,
        "and nothing is left to do"
    );
    Ok(())
}

/// Between the copy and the end of the rows somebody makes a hold: the copy goes, the rows stay.
async fn held_in_between(given: Given) -> Result<()> {
    let mut yard = Yard::open(given).await?;
    let lena: PersonId = yard.site.ambient.id();
    yard.site.note(&format!("what {lena} did")).await?;
    yard.grow(300).await?;
    yard.clock.advance(AFTER + DAY);
    // All is copied and nothing read back: as if the process had ended there.
    let store = Failing::at(&yard.folder, 5)?;
    let archivist = yard.archivist_of(Archive::over(store as _, &name_of(&yard)));
    archivist.step().await.expect_err("it was broken off");
    ensure!(files(&yard.folder)?.len() == 4, "{:?}", files(&yard.folder)?.keys());
    let hold = yard.hold(Some(lena)).await?;
    for nth in 0.. {
        let store = Failing::at(&yard.folder, nth)?;
        let archivist = yard.archivist_of(Archive::over(Arc::clone(&store) as _, &name_of(&yard)));
        let stepped = archivist.step().await;
        if store.failed.lock().expect("no panic").is_none() {
            ensure!(stepped? == Stepped::Done, "it gave up");
            ensure!(nth == 4, "four files were taken away, not {nth}");
            break;
        }
        stepped.expect_err("it was broken off");
    }
    ensure!(files(&yard.folder)?.is_empty(), "{:?}", files(&yard.folder)?.keys());
    ensure!(yard.step().await? == Stepped::Nothing, "as long as it is held");
    yard.sign().await?;
    let report = yard.check().await?;
    ensure!(report.archived == 0, "{report:?}");
    yard.release(hold).await?;
    ensure!(yard.step().await? == Stepped::Done, "now it goes");
    ensure!(yard.check_archive().await?.entries == 256);
    Ok(())
}

/// The same in a bucket: signed for, not there for a while, changed behind everybody's back.
async fn in_a_bucket(given: Given) -> Result<()> {
    let mut server = S3::start_private().await?;
    let config = server.place()?;
    let mut yard = Yard::open(given).await?;
    yard.grow(300).await?;
    yard.clock.advance(AFTER + DAY);
    let archive = Archive::open(&archive_in(&config))?;
    let archivist = yard.archivist_of(archive.clone());
    archivist.check().await?;
    let stranger = S3Config { access_key_id: "NOBODY".to_owned(), ..config.clone() };
    let refused = Archive::open(&archive_in(&stranger))?.check().await.expect_err("nobody knows it");
    ensure!(refused.is(ProblemKind::ArchiveUnavailable) && refused.detail.contains("403"), "{refused}");

    server.kill();
    let down = archivist.step().await.expect_err("nobody is there");
    ensure!(down.is(ProblemKind::ArchiveUnavailable), "{down}");
    server.start_again().await?;
    ensure!(archivist.step().await? == Stepped::Done, "it goes on by itself");
    yard.sign().await?;
    let report = yard.check().await?;
    ensure!(report.archived == 256, "{report:?}");

    let read = async || {
        let mut files = Files::new();
        for folder in ["manifest", "tile", "openings"] {
            for path in archive.list(folder).await? {
                let bytes = archive.read(&path).await?.context("it was listed")?;
                files.insert(path, bytes);
            }
        }
        anyhow::Ok(files)
    };
    let files = read().await?;
    ensure!(files.len() == 4, "{:?}", files.keys());
    ensure!(check_archive(&files, &yard.verifiers().await?)?.ranges == [(0, 256)]);
    let entries = Entries::new(yard.site.database.clone(), Some(archive.clone()));
    ensure!(entries.leaves(0, 256).await?.len() == 256, "it is served from there");
    let [path, ..] = ArchivedTile::paths(0);
    let mut altered = files[&path].clone();
    altered[40] ^= 1;
    archive.write(&path, altered).await?;
    let found = entries.leaves(0, 256).await.expect_err("a byte was changed");
    ensure!(found.is(ProblemKind::LogAltered) && found.more["index"] == 0, "{found}");
    server.pause();
    let since = Stopwatch::start();
    let hangs = entries.leaves(0, 256).await.expect_err("it hangs");
    ensure!(
        hangs.is(ProblemKind::ArchiveUnavailable) && since.elapsed() < Duration::from_secs(12),
        "{hangs}"
    );
    server.resume();
    Ok(())
}

/// A receiver that is new gets the log from its first entry on, wherever that lies by now.
async fn forwarded(given: Given) -> Result<()> {
    let mut yard = Yard::open(given).await?;
    yard.grow(600).await?;
    yard.clock.advance(AFTER + DAY);
    yard.grow(1).await?;
    ensure!(yard.step().await? == Stepped::Done && yard.count(ENTRIES).await? < 200, "512 moved");
    yard.sign().await?;
    crate::peers::http(None)?;
    let (siem, stop) = (Siem::start().await?, CancellationToken::new());
    let archive = Archive::open(&ArchivePlace::Folder(yard.folder.clone()))?;
    let config = siem.config(&[]);
    let forwarder = Forwarder::new(ForwarderParts {
        database: yard.site.database.clone(),
        log: yard.site.log.clone(),
        ambient: yard.site.ambient.clone(),
        permits: yard.site.permits(),
        origin: ORIGIN.to_owned(),
        config: std::slice::from_ref(&config),
    })?;
    let forwarder = forwarder.with_entries(Entries::new(yard.site.database.clone(), Some(archive)));
    let running = tokio::spawn(forwarder.run(stop.clone()));
    let all_taken = async || siem.taken().is_ok_and(|taken| taken.len() >= 603).then_some(());
    wait_for("603 entries were forwarded", BOUND, all_taken).await?;
    stop.cancel();
    running.await?;
    let indices: Vec<u64> = siem.taken()?.iter().map(|line| line.index).collect();
    ensure!(indices.iter().copied().eq(0..indices.len() as u64), "in order, none left out: {indices:?}");
    Ok(())
}

async fn changed(given: Given) -> Result<()> {
    let mut yard = Yard::open(given).await?;
    yard.grow(300).await?;
    yard.clock.advance(AFTER + DAY);
    yard.step().await?;
    let (files, keys) = (files(&yard.folder)?, yard.verifiers().await?);
    check_archive(&files, &keys)?;
    let [entries, hashes, openings] = ArchivedTile::paths(0);
    for (path, step) in [(&entries, 97), (&hashes, 41), (&openings, 499), (&Manifest::path(0, 256), 1)] {
        let mut next = 0;
        for at in (0..files[path].len()).step_by(step) {
            let mut altered = files.clone();
            altered.get_mut(path).context("no file")?[at] ^= 1;
            let found = check_archive(&altered, &keys)
                .err()
                .with_context(|| format!("byte {at} of {path} is not found"))?;
            ensure!(
                found.is(ProblemKind::LogAltered) || found.is(ProblemKind::LogIncomplete),
                "{path}: {found}"
            );
            if path.starts_with("manifest") {
                continue;
            }
            let index = found.more.get("index").and_then(serde_json::Value::as_u64);
            let index = index.with_context(|| format!("byte {at} of {path} has no index: {found}"))?;
            ensure!(index >= next && index < 256, "byte {at} of {path}: {index} after {next}");
            next = index;
        }
        ensure!(next > 200 || path.starts_with("manifest"), "{path}: only up to {next}");
    }
    for path in files.keys() {
        let mut fewer = files.clone();
        fewer.remove(path);
        let is_empty = Manifest::range_of(path).is_some();
        ensure!(check_archive(&fewer, &keys).is_err() != is_empty, "{path}");
    }
    Ok(())
}
