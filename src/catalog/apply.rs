//! Doing what a plan says, in one unit of work that makes the plan anew.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::{
    check::WorkloadIssuers,
    declare::Kind,
    plan::{Change, ChangeKind, DocumentSet, Plan, Stored, Wanted, Worked, stale},
    reader::{Row, read_rows},
};
use crate::{
    audit::{Authority, Draft, Log, Unit, Work},
    base::{Problem, ProblemKind, Result, hex},
    policy::{Action, Permit},
    store::sql,
};

/// Longest payload of an entry, in bytes.
const LONGEST_PAYLOAD: usize = 1024 * 1024 - 4096;

/// How a set of files is to be applied.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Whether what is no longer declared may be removed.
    pub allow_delete: bool,
    /// The version of the catalog that the plan was made for.
    pub expect_version: Option<i64>,
    /// The digest of the plan that was looked at.
    pub expect_digest: Option<String>,
}

/// What applying came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The version of the catalog now; as before where nothing changed.
    pub version: i64,
    /// What changed.
    pub changes: Vec<Change>,
}

/// Applies a set of files: all of it, with its entry, or nothing.
///
/// # Errors
/// `invalid-declaration` with every finding; `plan-is-stale` where a condition does not hold; `conflict`
/// where something would be removed and that was not allowed; those of [`Log::perform`].
pub(super) async fn apply(
    log: &Log,
    permit: Permit,
    set: DocumentSet,
    conditions: Conditions,
    issuers: Arc<WorkloadIssuers>,
) -> Result<Applied> {
    permit.expect(Action::Apply)?;
    let wanted = Wanted::read(set);
    log.perform(Apply { permit, wanted, conditions, issuers }).await
}

struct Apply {
    permit: Permit,
    wanted: Wanted,
    conditions: Conditions,
    issuers: Arc<WorkloadIssuers>,
}

#[async_trait]
impl Unit for Apply {
    type Output = Applied;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Applied> {
        let rows: Vec<Row> = work.fetch_all(super::reader::everything()).await?;
        let (version, stored) = read_rows(&rows)?;
        let worked = self.work_out(version, &stored)?;
        let changed = !worked.plan.changes.is_empty();
        let now = version + i64::from(changed);
        // First, because it may refuse.
        let entry = entry(&worked, version, now)?;
        if changed {
            self.write(work, &worked, now).await?;
        }
        work.record(entry);
        Ok(Applied { version: now, changes: worked.plan.changes })
    }
}

impl Apply {
    fn work_out(&self, version: i64, stored: &[Stored]) -> Result<Worked> {
        if let Some(expected) = self.conditions.expect_version.filter(|it| *it != version) {
            return Err(stale(format!("the plan was made for version {expected}, and it is {version} now")));
        }
        let worked = self.wanted.compare(version, stored, &self.issuers)?;
        if self.conditions.expect_digest.as_ref().is_some_and(|it| *it != worked.plan.digest) {
            return Err(stale("these files would not do what the plan said".to_owned()));
        }
        worked.plan.allow_removals(self.conditions.allow_delete)?;
        Ok(worked)
    }

    async fn write(&self, work: &mut Work<'_>, worked: &Worked, version: i64) -> Result<()> {
        let plan = &worked.plan;
        let now = work.now();
        work.execute(
            sql("INSERT INTO sources (name, digest, applied_at, applied_by) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, \
                 applied_at = excluded.applied_at, applied_by = excluded.applied_by")
            .bind(&plan.source)
            .bind(worked.files)
            .bind(now)
            .bind(self.permit.principal().to_string()),
        )
        .await?;
        for (change, body) in plan.changes.iter().zip(&worked.bodies) {
            write_one(work, plan, change, body.as_ref()).await?;
        }
        work.execute(sql("UPDATE catalog SET version = $1 WHERE id = 1").bind(version)).await?;
        Ok(())
    }
}

async fn write_one(work: &mut Work<'_>, plan: &Plan, change: &Change, body: Option<&Json>) -> Result<()> {
    let query = match body {
        Some(body) => sql("INSERT INTO declared (kind, name, source, body) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body")
        .bind(change.kind.as_str())
        .bind(&change.name)
        .bind(&plan.source)
        .bind(body.to_string()),
        None => sql("DELETE FROM declared WHERE kind = $1 AND name = $2 AND source = $3")
            .bind(change.kind.as_str())
            .bind(&change.name)
            .bind(&plan.source),
    };
    work.execute(query).await?;
    Ok(())
}

/// What an auditor needs to recompute who could reach what at a date: the new bodies of everything that
/// says so, in full.
fn entry(worked: &Worked, from: i64, to: i64) -> Result<Draft> {
    let plan = &worked.plan;
    let mut bodies = Vec::new();
    for (change, body) in plan.changes.iter().zip(&worked.bodies) {
        let decides = matches!(
            change.kind,
            Kind::Group | Kind::Team | Kind::Application | Kind::Workload | Kind::TrustScope
        );
        if let (true, Some(body)) = (decides, body) {
            bodies.push(json!({ "kind": change.kind, "name": change.name, "body": body }));
        }
    }
    let changes: Vec<Json> = plan
        .changes
        .iter()
        .map(|it| json!({ "change": it.change, "kind": it.kind, "name": it.name }))
        .collect();
    let removed = plan.changes.iter().filter(|it| it.change == ChangeKind::Remove).count();
    let length = json!([changes, bodies]).to_string().len();
    if length > LONGEST_PAYLOAD {
        return Err(Problem::new(
            ProblemKind::TooLarge,
            format!("the entry of these {} changes would be {length} bytes long", changes.len()),
        )
        .remedy("Apply fewer changes at a time."));
    }
    Ok(Draft::act("catalog.applied")
        .resource("catalog")
        .with("source", plan.source.as_str())
        .with("digest", plan.digest.as_str())
        .with("files", hex::encode(&worked.files))
        .with("from_version", from)
        .with("version", to)
        .with("count", changes.len())
        .with("removed", removed)
        .with("changes", changes)
        .with("bodies", bodies))
}
