//! A standby of a PostgreSQL of the test's own.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use super::{
    Peer as _, Postgres, Private,
    process::{Process, free_port},
    wait_for,
};

/// How long anything may take between two servers.
const BOUND: Duration = Duration::from_secs(30);

/// Streams from a server, which does not wait for it.
pub struct Standby {
    server: Postgres,
    process: Process,
    // Last, so that its removal comes after the process's end.
    place: TempDir,
}

impl Standby {
    /// Begins one and waits until it has what the server has.
    pub async fn of(server: &Private<Postgres>) -> Result<Self> {
        let place = tempfile::Builder::new().prefix("port-control-standby.").tempdir()?;
        // PostgreSQL runs as another user when we are root, and has to pass through.
        fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        let (folder, port) = (place.path().join("postgres"), free_port());
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        fs::copy(server.folder().join("password"), folder.join("password"))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/postgres/standby");
        let mut command = Command::new(script);
        command.arg(&folder).arg(port.to_string()).arg(server.port().to_string());
        let process = Process::start(command, place.path(), &place.path().join("log"))?;
        let standby = Self { server: Postgres::open(&folder, port)?, process, place };
        wait_for("the standby", BOUND, async || standby.streams().await.ok().filter(|it| *it))
            .await
            .with_context(|| fs::read_to_string(standby.place.path().join("log")).unwrap_or_default())?;
        Ok(standby)
    }

    /// Gets what `server` has by now, and nothing more from here on, as where the network is slow.
    pub async fn stop_receiving(&self, server: &Postgres) -> Result<()> {
        let written: String = ask(server, "SELECT CAST(pg_current_wal_lsn() AS TEXT)").await?;
        let replayed = async || {
            let is_there = format!("SELECT pg_last_wal_replay_lsn() >= CAST('{written}' AS pg_lsn)");
            ask::<bool>(&self.server, &is_there).await.ok().filter(|it| *it)
        };
        wait_for("the standby to follow", BOUND, replayed).await?;
        for statement in ["ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"] {
            self.server.execute(statement).await?;
        }
        let stopped = async || self.streams().await.ok().filter(|streams| !streams);
        wait_for("the standby to lag", BOUND, stopped).await.map(drop)
    }

    async fn streams(&self) -> Result<bool> {
        ask(&self.server, "SELECT EXISTS (SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming')")
            .await
    }

    /// Becomes a server of its own; where its data are, once it has ended.
    async fn promote(self) -> Result<TempDir> {
        self.server.execute("SELECT pg_promote()").await?;
        let Self { process, place, .. } = self;
        drop(process);
        Ok(place)
    }
}

/// The one thing that a query answers with.
async fn ask<T>(server: &Postgres, query: &str) -> Result<T>
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let mut on = PgConnection::connect(&server.url).await?;
    let found = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut on).await?;
    on.close().await?;
    Ok(found)
}

impl Private<Postgres> {
    /// Loses the server, and has a standby take its place and address.
    pub async fn fail_over(&mut self, standby: Standby) -> Result<()> {
        self.kill();
        let place = standby.promote().await?;
        fs::remove_dir_all(self.folder())?;
        // Both are below the folder for what is temporary.
        fs::rename(place.path().join("postgres"), self.folder())?;
        ensure!(!self.folder().join("data/standby.signal").exists(), "it was not promoted");
        self.start_again().await
    }
}
