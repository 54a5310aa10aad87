//! Reading what is declared.

use std::sync::Arc;

use tokio::sync::RwLock;

use super::{
    declare::{Kind, Object},
    snapshot::Snapshot,
};
use crate::{
    base::{Problem, Result, config::AdministratorGroup},
    store::{Database, sql},
};

/// What files declare. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    database: Database,
    administrators: Arc<Vec<AdministratorGroup>>,
    cached: Arc<RwLock<Option<Arc<Snapshot>>>>,
}

/// One declared object with the version that it was read at.
#[derive(sqlx::FromRow)]
struct Declared {
    version: i64,
    kind: Option<String>,
    name: Option<String>,
    body: Option<String>,
}

impl Catalog {
    /// The catalog in this database; `administrators` are the configured groups of the built-in scope.
    #[must_use]
    pub fn new(database: Database, administrators: Vec<AdministratorGroup>) -> Self {
        Self { database, administrators: Arc::new(administrators), cached: Arc::default() }
    }

    /// What is declared now. One query that reads one row, unless the version has moved.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let version = self.version().await?;
        if let Some(known) = self.cached.read().await.as_ref().filter(|it| it.version == version) {
            return Ok(Arc::clone(known));
        }
        let fresh = Arc::new(self.read().await?);
        *self.cached.write().await = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    async fn version(&self) -> Result<i64> {
        let row: Option<(i64,)> =
            self.database.fetch_optional(sql("SELECT version FROM catalog WHERE id = 1")).await?;
        row.map(|(version,)| version).ok_or_else(lost)
    }

    /// Version and objects by one statement, so that they belong together on both databases.
    async fn read(&self) -> Result<Snapshot> {
        let rows: Vec<Declared> = self
            .database
            .fetch_all(sql("SELECT c.version AS version, d.kind AS kind, d.name AS name, d.body AS body \
                 FROM catalog c LEFT JOIN declared d ON c.id = 1 WHERE c.id = 1"))
            .await?;
        let version = rows.first().ok_or_else(lost)?.version;
        let mut objects = Vec::with_capacity(rows.len());
        for row in &rows {
            if let (Some(kind), Some(name), Some(body)) = (&row.kind, &row.name, &row.body) {
                objects.push(read_object(kind, name, body)?);
            }
        }
        Ok(Snapshot::new(version, objects, &self.administrators))
    }
}

fn lost() -> Problem {
    Problem::internal("the catalog has lost its version row")
}

/// Reads a stored declaration.
pub(super) fn read_object(kind: &str, name: &str, body: &str) -> Result<Object> {
    let known = Kind::from_text(kind).ok_or_else(|| {
        Problem::internal(format!("the catalog holds a '{kind}', which this version does not know"))
            .remedy("Run the newer version of the server.")
    })?;
    Object::read(known, &mut serde_json::Deserializer::from_str(body))
        .map_err(|error| Problem::internal(format!("the stored {kind} '{name}' cannot be read: {error}")))
}
