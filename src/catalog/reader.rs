//! Reading what is declared, planning, applying.

use std::sync::Arc;

use tokio::sync::RwLock;

use super::{
    apply::{Applied, Conditions, apply},
    check::WorkloadIssuers,
    declare::{Kind, Object},
    plan::{DocumentSet, Plan, Stored, Wanted},
    snapshot::Snapshot,
};
use crate::{
    audit::Log,
    base::{
        Problem, Result,
        config::{AdministratorGroup, WorkloadIssuerConfig},
    },
    policy::{Action, Permit},
    store::{Database, Query, sql},
};

/// What files declare. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    database: Database,
    administrators: Arc<Vec<AdministratorGroup>>,
    issuers: Arc<WorkloadIssuers>,
    cached: Arc<RwLock<Option<Arc<Snapshot>>>>,
}

/// One declared object with the version that it was read at; nothing but the version where there is none.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    version: i64,
    source: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    body: Option<String>,
}

/// Version and objects by one statement, so that they belong together on both databases.
pub(super) fn everything() -> Query {
    sql("SELECT c.version AS version, d.source AS source, d.kind AS kind, d.name AS name, d.body AS body \
         FROM catalog c LEFT JOIN declared d ON c.id = 1 WHERE c.id = 1")
}

impl Catalog {
    /// The catalog in this database; `administrators` are the configured groups of the built-in scope.
    #[must_use]
    pub fn new(database: Database, administrators: Vec<AdministratorGroup>) -> Self {
        Self {
            database,
            administrators: Arc::new(administrators),
            issuers: Arc::default(),
            cached: Arc::default(),
        }
    }

    /// The same, where workloads of these issuers can be declared.
    #[must_use]
    pub fn with_workload_issuers(mut self, issuers: &[WorkloadIssuerConfig]) -> Self {
        self.issuers = Arc::new(issuers.iter().map(|it| (it.name.clone(), it.kind)).collect());
        self
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
        let (version, stored) = self.read().await?;
        let objects = stored.into_iter().map(|it| it.object);
        let fresh = Arc::new(Snapshot::new(version, objects, &self.administrators));
        *self.cached.write().await = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    /// What a caller's permit was decided on, without asking the database again where it is known still.
    /// Only for what ends in a unit of work: that one refuses where the version has moved since.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn of(&self, permit: &Permit) -> Result<Arc<Snapshot>> {
        let rests_on = permit.rests_on();
        // A permit of one of our own services rests on no version.
        let is_callers = rests_on.session.is_some() || rests_on.workload.is_some();
        let known = self.cached.read().await.clone();
        match known.filter(|it| is_callers && it.version == rests_on.catalog) {
            Some(known) => Ok(known),
            None => self.snapshot().await,
        }
    }

    /// What a set of files would change. Changes nothing.
    ///
    /// # Errors
    /// `invalid-declaration` with every finding.
    pub async fn plan(&self, permit: Permit, set: DocumentSet) -> Result<Plan> {
        permit.expect(Action::Plan)?;
        let wanted = Wanted::read(set);
        let (version, stored) = self.read().await?;
        Ok(wanted.compare(version, &stored, &self.issuers)?.plan)
    }

    /// Applies a set of files: all of it, with its entry, or nothing. The plan is made anew against what
    /// is declared at that moment.
    ///
    /// # Errors
    /// `invalid-declaration` with every finding; `plan-is-stale` where a condition does not hold;
    /// `conflict` where something would be removed and that was not allowed; those of [`Log::perform`].
    pub async fn apply(
        &self,
        log: &Log,
        permit: Permit,
        set: DocumentSet,
        conditions: Conditions,
    ) -> Result<Applied> {
        apply(log, permit, set, conditions, Arc::clone(&self.issuers)).await
    }

    async fn version(&self) -> Result<i64> {
        let row: Option<(i64,)> =
            self.database.fetch_optional(sql("SELECT version FROM catalog WHERE id = 1")).await?;
        row.map(|(version,)| version).ok_or_else(lost)
    }

    async fn read(&self) -> Result<(i64, Vec<Stored>)> {
        read_rows(&self.database.fetch_all::<Row>(everything()).await?)
    }
}

fn lost() -> Problem {
    Problem::internal("the catalog has lost its version row")
}

/// The version and what is declared at it.
pub(super) fn read_rows(rows: &[Row]) -> Result<(i64, Vec<Stored>)> {
    let version = rows.first().ok_or_else(lost)?.version;
    let mut stored = Vec::with_capacity(rows.len());
    for row in rows {
        if let (Some(source), Some(kind), Some(name), Some(body)) =
            (&row.source, &row.kind, &row.name, &row.body)
        {
            let source = source.parse().map_err(Problem::internal)?;
            stored.push(Stored { source, object: read_object(kind, name, body)? });
        }
    }
    Ok((version, stored))
}

fn read_object(kind: &str, name: &str, body: &str) -> Result<Object> {
    let known = Kind::from_text(kind).ok_or_else(|| {
        Problem::internal(format!("the catalog holds a '{kind}', which this version does not know"))
            .remedy("Run the newer version of the server.")
    })?;
    Object::read(known, &mut serde_json::Deserializer::from_str(body))
        .map_err(|error| Problem::internal(format!("the stored {kind} '{name}' cannot be read: {error}")))
}
