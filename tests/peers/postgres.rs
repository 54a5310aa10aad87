//! PostgreSQL: a database of its own for each test.

use std::{fs, path::Path, thread};

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

use super::{Peer, Private, variable};

/// A server, by the address of somebody who may create databases.
#[derive(Clone)]
pub struct Postgres {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`
    pub url: String,
}

/// A database of one test's own. Dropped with this value.
pub struct TestDatabase {
    /// Where it is, for the user who owns it.
    pub url: String,
    /// Its name on the server.
    pub name: String,
    server: Postgres,
}

impl Postgres {
    pub(super) fn from_env() -> Option<Self> {
        variable("PEERS_POSTGRES_URL").map(|url| Self { url })
    }

    /// A server of the test's own, to be killed or made to hang.
    pub async fn start_private() -> Result<Private<Self>> {
        Private::start().await
    }

    /// An empty database. `purpose` is in its name, for whoever looks at a server with many.
    pub async fn create_database(&self, purpose: &str) -> Result<TestDatabase> {
        let name = super::unique(&format!("port-control-{purpose}"));
        // The template that nobody connects to: the usual one is locked while anybody does.
        self.execute(&format!(r#"CREATE DATABASE "{name}" TEMPLATE template0"#)).await?;
        let mut url = Url::parse(&self.url)?;
        url.set_path(&name);
        Ok(TestDatabase { url: url.into(), name, server: self.clone() })
    }

    /// Copies a database that nobody is connected to.
    pub async fn copy_database(&self, from: &TestDatabase) -> Result<TestDatabase> {
        let name = super::unique("port-control-copy");
        self.execute(&format!(r#"CREATE DATABASE "{name}" TEMPLATE "{}""#, from.name)).await?;
        let mut url = Url::parse(&self.url)?;
        url.set_path(&name);
        Ok(TestDatabase { url: url.into(), name, server: self.clone() })
    }

    /// Ends every connection to a database, as a failover would.
    pub async fn disconnect_all(&self, database: &TestDatabase) -> Result<()> {
        let name = &database.name;
        self.execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await
    }

    /// Runs a statement as the server's administrator.
    pub async fn execute(&self, statement: &str) -> Result<()> {
        let mut connection =
            PgConnection::connect(&self.url).await.context("PostgreSQL cannot be reached")?;
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let statement = format!(r#"DROP DATABASE IF EXISTS "{}" WITH (FORCE)"#, self.name);
        let server = self.server.clone();
        // A runtime of its own: the test's may be ending, and waits for nobody in a drop.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(server.execute(&statement)))
        });
        // A server that was killed in the test takes its databases with it.
        drop(dropping.join());
    }
}

impl Peer for Postgres {
    const NAME: &'static str = "postgres";
    const PROGRAM: &'static str = "PEERS_POSTGRES_BIN";

    fn open(folder: &Path, port: u16) -> Result<Self> {
        let password = fs::read_to_string(folder.join("password"))?;
        Ok(Self { url: format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres") })
    }

    async fn answers(&self) -> bool {
        self.execute("SELECT 1").await.is_ok()
    }
}
