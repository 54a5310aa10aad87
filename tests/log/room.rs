//! How much room the database has, and standbys that are not waited for.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::{Database, DatabaseKind, Room};
use url::Url;

use crate::{
    peers::{Peers, Postgres},
    support::{Given, on_each_database, trial, until},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = on_each_database(peers, "log::the_room_that_is_left_is_told", room);
    if peers.postgres.is_some() {
        trials.push(trial("log::standbys_that_are_not_waited_for_are_told", standbys));
    }
    trials
}

async fn room(given: Given) -> Result<()> {
    let database = given.open().await?;
    let Room { used, free } = database.room(None).await?;
    ensure!(used > 100_000, "tables take some room: {used}");
    ensure!(free.is_some() == (database.kind() == DatabaseKind::Sqlite), "{free:?}");
    let declared = database.room(Some(1 << 40)).await?;
    ensure!(
        declared.free.is_some_and(|free| free > 0 && free < 1 << 60) && !declared.is_short(),
        "{declared:?}"
    );
    if database.kind() == DatabaseKind::Postgres {
        let full = database.room(Some(used)).await?;
        ensure!(full.free.is_some_and(|free| free < 64 << 20) && full.is_short(), "{full:?}");
    }
    Ok(())
}

/// Whoever takes what a server writes, as a standby does.
struct Standby(Child);

impl Standby {
    fn of(server: &Postgres, folder: &std::path::Path) -> Result<Self> {
        let url: Url = server.url.parse()?;
        let programs = std::env::var("PEERS_POSTGRES_BIN").context("PEERS_POSTGRES_BIN is missing")?;
        let child = Command::new(format!("{programs}/pg_receivewal"))
            .args(["--host", "127.0.0.1", "--username", url.username(), "--no-password", "--port"])
            .arg(url.port().context("a port")?.to_string())
            .arg("--directory")
            .arg(folder)
            .env("PGPASSWORD", url.password().unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn standbys() -> Result<()> {
    let server = Postgres::start_private().await?;
    let database = Database::open(&server.url).await?;
    ensure!(database.lagging_standbys().await? == 0, "there is none yet");
    let folder = tempfile::tempdir()?;
    let standby = Standby::of(&server, folder.path())?;
    until("it is told of", async || {
        let lagging = database.lagging_standbys().await?;
        Ok((lagging == 1).then_some(()))
    })
    .await?;
    for statement in ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"] {
        server.execute(statement).await?;
    }
    until("it is waited for", async || {
        let lagging = database.lagging_standbys().await?;
        Ok((lagging == 0).then_some(()))
    })
    .await?;
    drop(standby);
    Ok(())
}
