//! What recording costs, beside what the disk costs: `cargo bench --bench append`.
//!
//! Everything on one disk, in alternating rounds; the medians of the rounds are printed.

use std::{fs::File, io::Write as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use port_control::{
    access::RowsOfNow,
    audit::{Authority, Draft, Log, Unit, Work},
    base::{Ambient, Problem, Timestamp, time::Stopwatch},
    policy::{Action, OwnServices, Permit, Policies, Resource, Service, ServicePermits as _},
    store::{Database, sql},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

const ROUNDS: usize = 3;
const WRITERS: usize = 1024;
const EACH: usize = 8;

struct Note(Permit);

#[async_trait]
impl Unit for Note {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.0)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Problem> {
        work.record(Draft::act("bench.noted").with("version", 3));
        Ok(())
    }
}

struct Site {
    log: Log,
    database: Database,
    services: OwnServices,
}

impl Site {
    async fn open(folder: &Path) -> Result<Self> {
        let database = Database::open(&format!("sqlite:{}", folder.join("log.db").display())).await?;
        database.migrate().await?;
        let ambient = Ambient::system(Timestamp::EPOCH);
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(RowsOfNow)).await?;
        let services = OwnServices::new(Arc::new(Policies::built_in()?), ambient);
        Ok(Self { log, database, services })
    }

    fn permits(&self, count: usize) -> Result<Vec<Permit>> {
        let permit = || self.services.permit(Service::Operator, Action::Operate, Resource::People);
        Ok((0..count).map(|_| permit()).collect::<Result<_, Problem>>()?)
    }

    /// One after the other; how long each took.
    async fn in_turn(&self, permits: Vec<Permit>) -> Result<Vec<Duration>> {
        let mut took = Vec::new();
        for permit in permits {
            let since = Stopwatch::start();
            self.log.perform(Note(permit)).await?;
            took.push(since.elapsed());
        }
        Ok(took)
    }

    /// Many at once; how long each unit took, and all of them.
    async fn at_once(&self, writers: usize, each: usize) -> Result<(Vec<Duration>, Duration)> {
        let permits: Vec<_> = (0..writers).map(|_| self.permits(each)).collect::<Result<_>>()?;
        let since = Stopwatch::start();
        let took = try_join_all(permits.into_iter().map(|permits| self.in_turn(permits))).await?;
        Ok((took.concat(), since.elapsed()))
    }
}

fn median<T: PartialOrd + Copy>(mut of: Vec<T>) -> T {
    of.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    of[of.len() / 2]
}

/// 4 KiB appended to a growing file, and on the disk.
fn bare(folder: &Path) -> Result<f64> {
    let mut file = File::create(folder.join("bare"))?;
    let mut took = Vec::new();
    for _ in 0..300 {
        let since = Stopwatch::start();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        took.push(since.elapsed());
    }
    Ok(median(took).as_secs_f64())
}

type Row = (i64, Vec<u8>, i64, String, String, String, String, String);

/// The newest rows of the log, put into the same tables with the same indexes in batches as large, on
/// one connection; rows a second.
async fn same_rows(site: &Site, folder: &Path) -> Result<f64> {
    let rows: Vec<Row> = site
        .database
        .fetch_all(sql("SELECT e.idx, e.leaf, e.time, e.kind, e.action, e.decision, e.actor, o.body \
             FROM entries e JOIN openings o ON o.entry = e.idx ORDER BY e.idx DESC LIMIT 8192"))
        .await?;
    let path = folder.join("same.db");
    let made = Database::open(&format!("sqlite:{}", path.display())).await?;
    made.migrate().await?;
    made.close().await;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut on = options.connect().await?;
    let since = Stopwatch::start();
    for batch in rows.chunks(WRITERS) {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut on).await?;
        for rows in batch.chunks(64) {
            insert(&mut on, rows).await?;
        }
        sqlx::query("COMMIT").execute(&mut on).await?;
    }
    let took = since.elapsed();
    on.close().await?;
    Ok(per_second(rows.len(), took))
}

async fn insert(on: &mut sqlx::SqliteConnection, rows: &[Row]) -> Result<()> {
    let values = |one: &str| vec![one; rows.len()].join(", ");
    let text = format!(
        "INSERT INTO entries (idx, leaf, time, kind, action, decision, actor) VALUES {}",
        values("(?, ?, ?, ?, ?, ?, ?)")
    );
    let mut query = sqlx::query(AssertSqlSafe(text));
    for (idx, leaf, time, kind, action, decision, actor, _) in rows {
        query = query.bind(idx).bind(leaf).bind(time).bind(kind).bind(action).bind(decision).bind(actor);
    }
    query.execute(&mut *on).await?;
    let text = format!("INSERT INTO openings (entry, body) VALUES {}", values("(?, ?)"));
    let mut query = sqlx::query(AssertSqlSafe(text));
    for row in rows {
        query = query.bind(row.0).bind(&row.7);
    }
    query.execute(on).await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

#[derive(Default)]
struct Measured {
    bare: Vec<f64>,
    one: Vec<f64>,
    some: Vec<f64>,
    many: Vec<f64>,
    same: Vec<f64>,
}

async fn round(measured: &mut Measured) -> Result<()> {
    // Beside the build, because the usual temporary folder may be no disk.
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let folder = tempfile::tempdir_in(place)?;
    let site = Site::open(folder.path()).await?;
    measured.bare.push(bare(folder.path())?);
    measured.one.push(median(site.in_turn(site.permits(300)?).await?).as_secs_f64());
    measured.some.push(median(site.at_once(64, 30).await?.0).as_secs_f64());
    measured.many.push(per_second(WRITERS * EACH, site.at_once(WRITERS, EACH).await?.1));
    measured.same.push(same_rows(&site, folder.path()).await?);
    drop(join_all([site.log.drain()]).await);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn print(measured: Measured) {
    let (bare, one, few) = (median(measured.bare), median(measured.one), median(measured.some));
    let (crowd, same) = (median(measured.many), median(measured.same));
    println!("medians of {ROUNDS} alternating rounds, SQLite");
    println!("{:<52} {:>10} {:>8}", "", "measured", "ratio");
    println!("{:<52} {:>7.3} ms {:>8}", "one fdatasync after 4 KiB", bare * 1e3, "1.00");
    println!("{:<52} {:>7.3} ms {:>8.2}", "one writer, p50", one * 1e3, one / bare);
    println!("{:<52} {:>7.3} ms {:>8.2}", "64 writers, p50", few * 1e3, few / bare);
    println!("{:<52} {:>8.0}/s {:>8}", "the same rows, one connection, batches of 1,024", same, "1.00");
    println!("{:<52} {:>8.0}/s {:>8.2}", "1,024 writers", crowd, crowd / same);
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut measured = Measured::default();
        for _ in 0..ROUNDS {
            round(&mut measured).await.context("a round")?;
        }
        print(measured);
        Ok(())
    })
}
