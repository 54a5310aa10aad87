//! What recording costs on SQLite, beside what the disk costs. Everything on one disk, in alternating
//! rounds; the medians of the rounds are printed.

use std::path::Path;

use anyhow::{Context as _, Result};
use port_control::{
    base::time::Stopwatch,
    store::{Database, sql},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::{
    measure::{Bare, folder, machine},
    site::{Site, median, per_second},
};

const ROUNDS: usize = 3;
const WRITERS: usize = 1024;
const EACH: usize = 8;

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

/// One fdatasync after 4 KiB more, in seconds.
fn bare(folder: &Path) -> Result<f64> {
    let mut bare = Bare::in_folder(folder)?;
    let took = (0..300).map(|_| bare.append()).collect::<Result<Vec<_>>>()?;
    Ok(median(took).as_secs_f64())
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
    let folder = folder()?;
    let site = Site::open(&format!("sqlite:{}", folder.path().join("log.db").display())).await?;
    measured.bare.push(bare(folder.path())?);
    measured.one.push(median(site.in_turn(site.permits(300)?).await?).as_secs_f64());
    measured.some.push(median(site.at_once(64, 30).await?.0).as_secs_f64());
    measured.many.push(per_second(WRITERS * EACH, site.at_once(WRITERS, EACH).await?.1));
    measured.same.push(same_rows(&site, folder.path()).await?);
    site.log.drain().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn print(measured: Measured) {
    let (bare, one, few) = (median(measured.bare), median(measured.one), median(measured.some));
    let (crowd, same) = (median(measured.many), median(measured.same));
    println!("appending on SQLite, medians of {ROUNDS} alternating rounds, {}", machine());
    println!("{:<52} {:>10} {:>8}", "", "measured", "ratio");
    println!("{:<52} {:>7.3} ms {:>8}", "one fdatasync after 4 KiB", bare * 1e3, "1.00");
    println!("{:<52} {:>7.3} ms {:>8.2}", "one writer, p50", one * 1e3, one / bare);
    println!("{:<52} {:>7.3} ms {:>8.2}", "64 writers, p50", few * 1e3, few / bare);
    println!("{:<52} {:>8.0}/s {:>8}", "the same rows, one connection, batches of 1,024", same, "1.00");
    println!("{:<52} {:>8.0}/s {:>8.2}", "1,024 writers", crowd, crowd / same);
}

/// Measures and prints.
pub async fn run() -> Result<()> {
    let mut measured = Measured::default();
    for _ in 0..ROUNDS {
        round(&mut measured).await.context("a round")?;
    }
    print(measured);
    Ok(())
}
