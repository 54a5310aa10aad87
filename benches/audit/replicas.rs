//! Three replicas on one PostgreSQL, beside one connection that inserts the same rows and commits each.

use anyhow::Result;
use futures::future::try_join_all;
use port_control::{
    base::time::Stopwatch,
    store::{Database, sql},
};
use sqlx::{Connection as _, PgConnection};

use crate::{
    measure::machine,
    peers::Peers,
    site::{Site, median, per_second},
};

const ROUNDS: usize = 3;
const REPLICAS: usize = 3;
const WRITERS: usize = 64;
const EACH: usize = 30;
/// How many rows the one connection inserts.
const ROWS: usize = 400;

type Row = (i64, Vec<u8>, i64, String, String, String, String, String);

/// Units a second of all replicas together.
async fn replicas(url: &str) -> Result<f64> {
    let mut sites = Vec::new();
    for _ in 0..REPLICAS {
        sites.push(Site::open(url).await?);
    }
    let writers = |nth: usize| WRITERS / REPLICAS + usize::from(nth < WRITERS % REPLICAS);
    let since = Stopwatch::start();
    try_join_all(sites.iter().enumerate().map(|(nth, site)| site.at_once(writers(nth), EACH))).await?;
    Ok(per_second(WRITERS * EACH, since.elapsed()))
}

/// Rows a second of one connection into the same tables.
async fn row_by_row(url: &str, rows: &[Row]) -> Result<f64> {
    let mut on = PgConnection::connect(url).await?;
    let since = Stopwatch::start();
    for (idx, leaf, time, kind, action, decision, actor, body) in rows {
        let mut tx = on.begin().await?;
        sqlx::query(
            "INSERT INTO entries (idx, leaf, time, kind, action, decision, actor) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(idx)
        .bind(leaf)
        .bind(time)
        .bind(kind)
        .bind(action)
        .bind(decision)
        .bind(actor)
        .execute(&mut *tx)
        .await?;
        sqlx::query("INSERT INTO openings (entry, body) VALUES ($1, $2)")
            .bind(idx)
            .bind(body)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
    }
    let took = since.elapsed();
    on.close().await?;
    Ok(per_second(rows.len(), took))
}

async fn rows(database: &Database) -> Result<Vec<Row>> {
    let rows: Vec<Row> = database
        .fetch_all(sql("SELECT e.idx, e.leaf, e.time, e.kind, e.action, e.decision, e.actor, o.body \
             FROM entries e JOIN openings o ON o.entry = e.idx ORDER BY e.idx"))
        .await?;
    Ok(rows.into_iter().take(ROWS).collect())
}

/// Measures and prints, where there is a PostgreSQL that writes to the disk.
#[expect(clippy::print_stdout, reason = "a bench prints its table")]
pub async fn run() -> Result<()> {
    let Some(postgres) = Peers::from_env().postgres else {
        println!("PostgreSQL: left out, there is none. Run it by tests/run --peers-only.");
        return Ok(());
    };
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (ours, same) =
            (postgres.create_database("bench").await?, postgres.create_database("bench").await?);
        together.push(replicas(&ours.url).await?);
        let (database, empty) = (Database::open(&ours.url).await?, Database::open(&same.url).await?);
        let fsync: Option<(String,)> =
            database.fetch_optional(sql("SELECT current_setting('fsync')")).await?;
        if fsync.is_none_or(|(fsync,)| fsync != "on") {
            println!("PostgreSQL: left out, its fsync is off. Set POSTGRES_FSYNC=on.");
            return Ok(());
        }
        empty.migrate().await?;
        alone.push(row_by_row(&same.url, &rows(&database).await?).await?);
    }
    let (together, alone) = (median(together), median(alone));
    println!("appending on PostgreSQL, medians of {ROUNDS} alternating rounds, {}", machine());
    println!("{:<52} {alone:>8.0}/s {:>8}", "one connection, each row committed", "1.00");
    let what = format!("{REPLICAS} replicas, {WRITERS} writers");
    println!("{what:<52} {together:>8.0}/s {:>8.2}", together / alone);
    Ok(())
}
