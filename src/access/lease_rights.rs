//! Leases that are allowed no more: their trust scope is gone or says less now, or their holder is in none of its
//! groups any more. However old what is known of her is: it is enough to keep what she was given, not to be
//! given more.

use std::sync::Arc;

use super::grants::stored;
use crate::{
    audit::Work,
    base::{EnvironmentRef, Name, Problem, Result, Timestamp, ids::LeaseId},
    catalog::Snapshot,
    policy::{Action, TrustScope},
    secrets::end_lease,
    store::{Database, Query, sql},
};

/// A live lease with one of its holder's groups, or with none.
#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    principal: String,
    scope: Option<String>,
    application: String,
    environment: String,
    source: Option<String>,
    group_id: Option<String>,
}

fn live(rest: &str) -> Query {
    let text = "SELECT l.id, l.principal, l.scope, l.application, l.environment, m.source, m.group_id \
         FROM leases l LEFT JOIN memberships_of_now m ON m.person = l.principal WHERE l.state = 'live'";
    Query::composed(format!("{text} {rest} ORDER BY l.id"), Vec::new())
}

/// Those that are allowed no more.
pub(super) async fn lost(database: &Database, declared: &Snapshot, now: Timestamp) -> Result<Vec<LeaseId>> {
    let rows: Vec<Row> = database.fetch_all(live("")).await?;
    let mut lost = Vec::new();
    for held in rows.chunk_by(|one, other| one.id == other.id) {
        if !is_allowed(held, declared, now)? {
            lost.push(stored(&held[0].id)?);
        }
    }
    Ok(lost)
}

/// Begins the end of one, if it is allowed no more by what is there now.
pub(super) async fn end(work: &mut Work<'_>, id: LeaseId, declared: &Arc<Snapshot>) -> Result<()> {
    let version: Option<(i64,)> =
        work.fetch_optional(sql("SELECT version FROM catalog WHERE id = 1")).await?;
    let rows: Vec<Row> = work.fetch_all(live("AND l.id = $1").bind(id)).await?;
    let is_so = version == Some((declared.version,)) && !is_allowed(&rows, declared, work.now())?;
    if rows.is_empty() || !is_so {
        return Err(Problem::conflict(format!("the lease {id} is allowed, or over")));
    }
    end_lease(work, id, "not-allowed").await
}

/// One lease, by the rows of its holder's groups.
fn is_allowed(held: &[Row], declared: &Snapshot, now: Timestamp) -> Result<bool> {
    let Some(first) = held.first() else { return Ok(false) };
    let scope: Option<Name> = first.scope.as_deref().map(stored).transpose()?;
    let Some(scope) = scope.and_then(|name| declared.scope(&name)) else { return Ok(false) };
    let at = EnvironmentRef {
        application: stored(&first.application)?,
        environment: stored(&first.environment)?,
        team: None,
    };
    let groups: Vec<&Name> = held
        .iter()
        .filter_map(|row| declared.alias(row.source.as_deref()?, row.group_id.as_deref()?))
        .collect();
    let is_live = scope.ends.is_none_or(|ends| now < ends);
    Ok(is_live && is_member(scope, &first.principal, &groups) && covers(scope, &at, declared, &groups))
}

fn is_member(scope: &TrustScope, principal: &str, groups: &[&Name]) -> bool {
    match principal.strip_prefix("workload/") {
        Some(workload) => scope.members.workloads.iter().any(|it| it.as_str() == workload),
        None => groups.iter().any(|group| scope.members.groups.contains(group)),
    }
}

fn covers(scope: &TrustScope, at: &EnvironmentRef, declared: &Snapshot, groups: &[&Name]) -> bool {
    let owner = declared.team_of(&at.application);
    let own = declared
        .teams
        .iter()
        .any(|(team, members)| Some(team) == owner && groups.iter().any(|group| members.contains(group)));
    scope.allows.iter().any(|it| it.actions.contains(&Action::Lease) && it.covers(at, own))
}
