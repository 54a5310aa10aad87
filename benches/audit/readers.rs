//! An audited read over HTTP by many clients, beside the same server on a disk where a sync costs nothing.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use port_control::base::{config::Access, time::Stopwatch};

use crate::{
    measure::{folder, machine},
    peers::http,
    site::{median, per_second},
    support::house::{GROUND, House, Settings},
};

const ROUNDS: usize = 3;
const CLIENTS: usize = 256;
const EACH: usize = 12;
const VALUE: &str = "/api/v1/applications/reports/environments/sandbox/secrets/PASSWORD/value";

/// Reads a second.
async fn reads(folder: &Path) -> Result<f64> {
    let database = format!("sqlite:{}", folder.join("port-control.db").display());
    let settings = Settings::new(&database, folder, Access::Directory(folder.join("cluster")));
    let house = House::open(&settings).await?;
    house.declare(GROUND).await?;
    house.set("PASSWORD", "the value that is read").await?;
    read_all(&house, 1).await?;
    let since = Stopwatch::start();
    read_all(&house, EACH).await?;
    let reads = per_second(CLIENTS * EACH, since.elapsed());
    house.close().await?;
    Ok(reads)
}

async fn read_all(house: &House, each: usize) -> Result<()> {
    let token = house.token.expose_text().context("the token is text")?;
    let url = format!("{}{VALUE}", house.url);
    let clients = (0..CLIENTS).map(|_| async {
        let client = http(None)?;
        for _ in 0..each {
            let answer = client.get(&url).bearer_auth(token).send().await?;
            let status = answer.status();
            let body = answer.bytes().await?;
            ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        }
        anyhow::Ok(())
    });
    try_join_all(clients).await.map(drop)
}

/// Measures and prints, where there is a tmpfs to compare with.
#[expect(clippy::print_stdout, reason = "a bench prints its table")]
pub async fn run() -> Result<()> {
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        println!("reading: left out, there is no /dev/shm");
        return Ok(());
    };
    let (mut disk, mut unsynced) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let place = memory.path().join(round.to_string());
        std::fs::create_dir(&place)?;
        unsynced.push(reads(&place).await?);
        disk.push(reads(folder()?.path()).await?);
    }
    let (disk, unsynced) = (median(disk), median(unsynced));
    println!(
        "an audited read over HTTP, {CLIENTS} clients, medians of {ROUNDS} alternating rounds, {}",
        machine()
    );
    println!("{:<52} {unsynced:>8.0}/s {:>8}", "on tmpfs, where a sync costs nothing", "1.00");
    println!("{:<52} {disk:>8.0}/s {:>8.2}", "on the disk", disk / unsynced);
    Ok(())
}
