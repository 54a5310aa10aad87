//! A log of ten million entries: verifying it as it is published, proofs out of it, and filtered pages of it.
//! It holds some thousand entries that were recorded as all are, again and again. `AUDIT_ENTRIES=1000000`
//! makes a smaller one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use port_control::{
    audit::{
        Checkpoint, Edge, Hash, VerifierKey, leaf_hash, node_hash,
        proof::verify_inclusion,
        read::{Filter, Reader},
        tile::{TreeReader, bundle},
        verify::published::Piece,
    },
    base::{
        Ambient, Timestamp,
        ambient::{Chance as _, SeededChance},
        time::{ManualClock, Stopwatch},
    },
    keys::LogSigner,
    store::Database,
};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    auditor::Auditor,
    measure::{Times, folder, machine},
    site::{Site, median},
};

const ORIGIN: &str = "port-control.invalid/bench";
/// How many entries are recorded; a power of 256, so that each copy of them is a complete subtree.
const SEED: u64 = 256 * 256;
const WIDTH: usize = 256;
const ROUNDS: usize = 3;
const PROOFS: usize = 5000;
const PAGES: usize = 150;

/// The log, in a database and as it is published.
struct Large {
    url: String,
    auditor: Auditor,
    published: PathBuf,
    key: VerifierKey,
    checkpoint: Checkpoint,
    bundles: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
    copies: u64,
}

/// What is recorded, all at one moment: a copy of it is no older than what is before it.
async fn seed(url: &str) -> Result<()> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_790_000_000_000)));
    let ambient = Ambient::new(clock, Arc::new(SeededChance::new(1)));
    let site = Site::open_in(url, ambient).await?;
    site.vary(usize::try_from(SEED)?).await?;
    site.log.drain().await;
    site.database.close().await;
    Ok(())
}

/// A connection for which nothing has to last.
async fn bulk(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path);
    let mut on = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Off).connect().await?;
    sqlx::raw_sql("PRAGMA synchronous = OFF; PRAGMA cache_size = -800000").execute(&mut on).await?;
    Ok(on)
}

async fn copy(on: &mut SqliteConnection, copies: u64) -> Result<()> {
    for nth in 1..copies {
        let by = i64::try_from(nth * SEED)?;
        for text in [
            "INSERT INTO entries SELECT idx + $1, leaf, time, kind, action, decision, actor, subject, application, \
             environment, secret, scope, request FROM entries WHERE idx < 65536 ORDER BY idx",
            "INSERT INTO openings SELECT entry + $1, body FROM openings WHERE entry < 65536 ORDER BY entry",
        ] {
            sqlx::query(text).bind(by).execute(&mut *on).await?;
        }
    }
    Ok(())
}

fn root_over(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    row[0]
}

/// The tiles, level by level.
struct Tiles {
    /// The leaves' hashes of one copy, 256 a tile.
    lowest: Vec<Vec<Hash>>,
    /// The tile over them.
    middle: Vec<Hash>,
    /// What each copy comes to.
    highest: Vec<Hash>,
}

impl Tiles {
    fn of(leaves: &[Hash], copies: u64) -> Result<Self> {
        let lowest: Vec<Vec<Hash>> = leaves.chunks(WIDTH).map(<[Hash]>::to_vec).collect();
        let middle: Vec<Hash> = lowest.iter().map(|tile| root_over(tile)).collect();
        let highest = vec![root_over(&middle); usize::try_from(copies)?];
        Ok(Self { lowest, middle, highest })
    }

    async fn keep(&self, on: &mut SqliteConnection) -> Result<()> {
        let mut tx = on.begin().await?;
        let copies = self.highest.len();
        for nth in 0..copies * WIDTH {
            keep(&mut tx, 0, nth, &self.lowest[nth % WIDTH]).await?;
        }
        for nth in 0..copies {
            keep(&mut tx, 1, nth, &self.middle).await?;
        }
        keep(&mut tx, 2, 0, &self.highest).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn keep(on: &mut SqliteConnection, level: i64, index: usize, hashes: &[Hash]) -> Result<()> {
    sqlx::query("INSERT INTO log_tiles (level, idx, hashes) VALUES ($1, $2, $3)")
        .bind(level)
        .bind(i64::try_from(index)?)
        .bind(hashes.concat())
        .execute(on)
        .await?;
    Ok(())
}

async fn move_head(on: &mut SqliteConnection, edge: &Edge, note: &str) -> Result<()> {
    let size = i64::try_from(edge.size())?;
    sqlx::query("UPDATE log_head SET size = $1, root = $2, edge = $3")
        .bind(size)
        .bind(edge.root().to_vec())
        .bind(edge.to_bytes())
        .execute(&mut *on)
        .await?;
    sqlx::query("INSERT INTO checkpoints (size, note, time) VALUES ($1, $2, 0)")
        .bind(size)
        .bind(note)
        .execute(on)
        .await?;
    Ok(())
}

/// The same files under many names: what is measured is not the disk.
fn publish(folder: &Path, bundles: &[Vec<u8>], tiles: &Tiles, note: &str) -> Result<()> {
    let originals = folder.join("originals");
    fs::create_dir_all(&originals)?;
    let copies = tiles.highest.len();
    for nth in 0..copies * WIDTH {
        let (number, which) = (nth as u64, nth % WIDTH);
        let pieces = [
            (Piece::Entries { number, width: 256 }, "e", &bundles[which]),
            (Piece::Hashes { level: 0, number, width: 256 }, "h", &tiles.lowest[which].concat()),
        ];
        for (piece, kind, bytes) in pieces {
            link(&originals.join(format!("{kind}{which}")), &folder.join("log").join(piece.path()), bytes)?;
        }
    }
    for number in 0..copies as u64 {
        let path = Piece::Hashes { level: 1, number, width: 256 }.path();
        link(&originals.join("m"), &folder.join("log").join(path), &tiles.middle.concat())?;
    }
    let path = Piece::Hashes { level: 2, number: 0, width: copies as u64 }.path();
    link(&originals.join("t"), &folder.join("log").join(path), &tiles.highest.concat())?;
    Ok(fs::write(folder.join("log/checkpoint"), note)?)
}

fn link(original: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    if !original.exists() {
        fs::write(original, bytes)?;
    }
    fs::create_dir_all(path.parent().context("a folder")?)?;
    Ok(fs::hard_link(original, path)?)
}

impl Large {
    async fn make(folder: &Path) -> Result<Self> {
        let wanted: u64 = std::env::var("AUDIT_ENTRIES").map_or(Ok(10_000_000), |text| text.parse())?;
        let copies = wanted.div_ceil(SEED).clamp(1, 255);
        let path = folder.join("log.db");
        let url = format!("sqlite:{}", path.display());
        seed(&url).await?;
        let mut on = bulk(&path).await?;
        let leaves: Vec<(Vec<u8>,)> =
            sqlx::query_as("SELECT leaf FROM entries ORDER BY idx").fetch_all(&mut on).await?;
        ensure!(leaves.len() as u64 == SEED, "{} entries", leaves.len());
        let leaves: Vec<Vec<u8>> = leaves.into_iter().map(|(leaf,)| leaf).collect();
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let bundles: Vec<Vec<u8>> =
            leaves.chunks(WIDTH).map(bundle).collect::<Result<_, port_control::base::Problem>>()?;
        copy(&mut on, copies).await?;
        let mut edge = Edge::empty();
        for _ in 0..copies {
            for hash in &hashes {
                edge.push(*hash);
            }
        }
        let signer = LogSigner::from_seed(&[1; 32]);
        let key = VerifierKey::new(ORIGIN, signer.public_key()).map_err(anyhow::Error::msg)?;
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: edge.size(), root: edge.root() };
        let note = checkpoint.sign(&signer);
        let tiles = Tiles::of(&hashes, copies)?;
        tiles.keep(&mut on).await?;
        move_head(&mut on, &edge, &note).await?;
        let auditor = Auditor::sign_in(&mut on).await?;
        on.close().await?;
        // Whoever opens it next does not wait for gigabytes to get to the disk.
        fs::File::open(&path)?.sync_all()?;
        publish(folder, &bundles, &tiles, &note)?;
        let published = folder.join("log");
        Ok(Self { url, auditor, published, key, checkpoint, bundles, leaves: hashes, copies })
    }

    fn bytes(&self) -> u64 {
        self.copies * self.bundles.iter().map(|it| it.len() as u64).sum::<u64>()
    }

    /// What one core hashes raw: the bytes of all entries, in one go.
    fn hashed(&self) -> Duration {
        let since = Stopwatch::start();
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for _ in 0..self.copies {
            self.bundles.iter().for_each(|bytes| context.update(bytes));
        }
        std::hint::black_box(context.finish());
        since.elapsed()
    }

    /// How long `portctl audit verify` takes, and how much of it was in memory at most, in KiB.
    fn verified(&self, home: &Path) -> Result<(Duration, u64)> {
        let since = Stopwatch::start();
        let mut child = Command::new(env!("CARGO_BIN_EXE_portctl"))
            .args(["audit", "verify", "--key", &self.key.to_string(), "--dir"])
            .arg(&self.published)
            .env("XDG_CONFIG_HOME", home)
            .env("XDG_STATE_HOME", home)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let mut resident = 0;
        let ended = loop {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let most = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let most = most.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or(0);
            resident = resident.max(most);
            if let Some(ended) = child.try_wait()? {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        ensure!(ended.success(), "portctl audit verify ended with {ended}");
        Ok((since.elapsed(), resident))
    }
}

#[expect(clippy::cast_precision_loss, reason = "billions")]
#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn verify(large: &Large, home: &Path) -> Result<()> {
    let (mut raw, mut whole, mut resident) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        raw.push(large.hashed().as_secs_f64());
        let (took, most) = large.verified(home)?;
        whole.push(took.as_secs_f64());
        resident = resident.max(most);
    }
    let (raw, whole, size) = (median(raw), median(whole), large.checkpoint.size);
    let speed = |took: f64| large.bytes() as f64 / took / 1e6;
    println!("verifying {size} entries, medians of {ROUNDS} alternating rounds, {}", machine());
    println!("{:<52} {:>6.0} MB/s {:>8}", "one core hashes the same bytes", speed(raw), "1.00");
    println!("{:<52} {:>6.0} MB/s {:>8.2}", "portctl audit verify --dir", speed(whole), raw / whole);
    println!("{:<52} {:>6.1} MiB", "resident at most", resident as f64 / 1024.0);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn print(what: &str, times: &Times) {
    println!("{what:<52} {:>7.3} ms {:>7.3} ms", times.p50(), times.p99());
}

fn below(chance: &SeededChance, limit: u64) -> u64 {
    let mut drawn = [0; 8];
    chance.fill(&mut drawn);
    u64::from_be_bytes(drawn) % limit
}

async fn proofs(large: &Large, database: &Database) -> Result<()> {
    let (chance, mut times) = (SeededChance::new(2), Times::default());
    let Checkpoint { size, root, .. } = &large.checkpoint;
    for _ in 0..PROOFS {
        let index = below(&chance, *size);
        let since = Stopwatch::start();
        let proof = TreeReader::new(database, *size).inclusion(index).await?;
        times.push(since.elapsed());
        let leaf = &large.leaves[usize::try_from(index % SEED)?];
        ensure!(verify_inclusion(leaf, index, *size, &proof, root), "entry {index}");
    }
    print("a proof", &times);
    Ok(())
}

type Which = (&'static str, fn(u64) -> Filter);

/// Filters of every kind, of what is frequent and what is rare.
const FILTERS: &[Which] = &[
    ("page: action", |n| Filter { action: Some(format!("bench.act-{}", n % 12)), ..Filter::default() }),
    ("page: action, rare", |_| Filter { action: Some("bench.rare.act".to_owned()), ..Filter::default() }),
    ("page: actions that begin so", |_| Filter { action: Some("bench.".to_owned()), ..Filter::default() }),
    ("page: actions that begin so, rare", |_| Filter {
        action: Some("bench.rare.".to_owned()),
        ..Filter::default()
    }),
    ("page: application and environment", |n| Filter {
        application: Some(format!("app-{}", n % 200)),
        environment: Some("production".to_owned()),
        ..Filter::default()
    }),
    ("page: a secret", |n| Filter {
        application: Some(format!("app-{}", n % 200)),
        environment: Some("production".to_owned()),
        secret: Some(format!("SECRET_{}", n % 7)),
        ..Filter::default()
    }),
    ("page: a request", |n| Filter { request: Some(format!("req_{}", n % 1000 * 50)), ..Filter::default() }),
    ("page: actor and decision", |_| Filter {
        actor: Some("service/operator".to_owned()),
        decision: Some("allow".to_owned()),
        ..Filter::default()
    }),
];

async fn pages(site: &Site, large: &Large) -> Result<()> {
    let size = large.checkpoint.size;
    let reader = Reader::new(site.database.clone(), site.log.clone());
    let chance = SeededChance::new(3);
    let mut all = Times::default();
    for (what, filter) in FILTERS {
        let mut times = Times::default();
        for nth in 0..PAGES {
            let permit = large.auditor.permit()?;
            let before = (nth % 2 == 1).then(|| size / 2 + below(&chance, size / 2));
            let since = Stopwatch::start();
            let page = reader.entries(permit, &filter(nth as u64), before, 100).await?;
            let took = since.elapsed();
            ensure!(!page.items.is_empty(), "{what}: nothing was found");
            times.push(took);
            all.push(took);
        }
        print(what, &times);
    }
    print("a filtered page of 100, recorded, of every kind", &all);
    Ok(())
}

/// Measures and prints.
#[expect(clippy::print_stdout, reason = "a bench prints its table")]
pub async fn run() -> Result<()> {
    let folder = folder()?;
    let large = Large::make(folder.path()).await.context("the large log")?;
    verify(&large, &folder.path().join("home"))?;
    println!("out of {} entries on SQLite, {}", large.checkpoint.size, machine());
    println!("{:<52} {:>10} {:>10}", "", "p50", "p99");
    let site = Site::open(&large.url).await?;
    proofs(&large, &site.database).await?;
    pages(&site, &large).await?;
    site.log.drain().await;
    Ok(())
}
