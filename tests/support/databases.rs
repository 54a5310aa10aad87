//! One test body, run on both databases.

use std::{future::Future, sync::Arc};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use port_control::store::{Database, DatabaseKind, sql};

use super::block_on;
use crate::peers::{Peers, TestDatabase};

/// An empty database of one test's own; gone with this value.
pub struct Given {
    /// As the server's configuration would have it.
    pub url: String,
    /// The servers of this run.
    pub peers: Arc<Peers>,
    /// A folder of the test's own. On SQLite the database lies in it.
    pub folder: tempfile::TempDir,
    postgres: Option<TestDatabase>,
}

impl Given {
    fn sqlite(peers: Arc<Peers>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite:{}", folder.path().join("port-control.db").display());
        Ok(Self { url, peers, folder, postgres: None })
    }

    /// A database that the test has somewhere itself.
    pub fn elsewhere(peers: &Arc<Peers>, url: String) -> Result<Self> {
        Ok(Self { url, peers: Arc::clone(peers), folder: tempfile::tempdir()?, postgres: None })
    }

    async fn postgres(peers: Arc<Peers>) -> Result<Self> {
        let server = peers.postgres.as_ref().context("PostgreSQL was not started")?;
        let database = server.create_database("test").await?;
        let url = database.url.clone();
        Ok(Self { url, peers: Arc::clone(&peers), folder: tempfile::tempdir()?, postgres: Some(database) })
    }

    /// The database, with its tables.
    pub async fn open(&self) -> Result<Database> {
        let database = Database::open(&self.url).await?;
        database.migrate().await?;
        Ok(database)
    }

    /// A copy of it as it is now, while nobody has it open: what a backup would be.
    pub async fn copy(&self) -> Result<Self> {
        let mut copy = Self::sqlite(Arc::clone(&self.peers))?;
        if let Some(database) = &self.postgres {
            let server = self.peers.postgres.as_ref().context("PostgreSQL was not started")?;
            let copied = server.copy_database(database).await?;
            copy.url.clone_from(&copied.url);
            copy.postgres = Some(copied);
        } else {
            let name = "port-control.db";
            std::fs::copy(self.folder.path().join(name), copy.folder.path().join(name))?;
        }
        Ok(copy)
    }

    /// Ends every connection to it, as a failover would. Only on PostgreSQL.
    pub async fn disconnect_all(&self) -> Result<()> {
        let server = self.peers.postgres.as_ref().context("PostgreSQL was not started")?;
        server.disconnect_all(self.postgres.as_ref().context("this is SQLite")?).await
    }
}

/// The test on SQLite, and on PostgreSQL where there is one: `NAME::sqlite`, `NAME::postgres`.
pub fn on_each_database<Test, Running>(peers: &Arc<Peers>, name: &str, test: Test) -> Vec<Trial>
where
    Test: Fn(Given) -> Running + Copy + Send + 'static,
    Running: Future<Output = Result<()>> + 'static,
{
    let mut trials = on_sqlite(peers, name, test);
    trials.extend(on_postgres(peers, name, test));
    trials
}

/// The test on SQLite alone.
pub fn on_sqlite<Test, Running>(peers: &Arc<Peers>, name: &str, test: Test) -> Vec<Trial>
where
    Test: Fn(Given) -> Running + Copy + Send + 'static,
    Running: Future<Output = Result<()>> + 'static,
{
    let peers = Arc::clone(peers);
    let run = move || block_on(async move { test(Given::sqlite(peers)?).await });
    vec![Trial::test(format!("{name}::sqlite"), run)]
}

/// The test on PostgreSQL alone; none where there is no PostgreSQL.
pub fn on_postgres<Test, Running>(peers: &Arc<Peers>, name: &str, test: Test) -> Vec<Trial>
where
    Test: Fn(Given) -> Running + Copy + Send + 'static,
    Running: Future<Output = Result<()>> + 'static,
{
    if peers.postgres.is_none() {
        return Vec::new();
    }
    let peers = Arc::clone(peers);
    let run = move || block_on(async move { test(Given::postgres(peers).await?).await });
    vec![Trial::test(format!("{name}::postgres"), run)]
}

/// It is of the kind that its URL says, empty, and has all tables.
pub async fn a_database_of_its_own(given: Given) -> Result<()> {
    let database = given.open().await?;
    let expected =
        if given.url.starts_with("sqlite:") { DatabaseKind::Sqlite } else { DatabaseKind::Postgres };
    ensure!(database.kind() == expected, "{:?}", database.kind());
    ensure!(database.pending_migrations().await? == 0, "not migrated");
    let found: Option<(i64,)> =
        database.fetch_optional(sql("SELECT CAST(count(*) AS BIGINT) FROM entries")).await?;
    ensure!(found == Some((0,)), "{found:?}");
    Ok(())
}
