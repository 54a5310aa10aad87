//! Leases that are allowed no more: their trust scope is gone or says less now, their holder is in none of its
//! groups any more, or is a workload that is declared otherwise or whose issuer is gone. However old what is known of her is: it is enough to keep what she was given, not to be
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
    declaration: Option<Vec<u8>>,
    issuer: Option<String>,
    source: Option<String>,
    group_id: Option<String>,
}

fn live(rest: &str) -> Query {
    let text = "SELECT l.id, l.principal, l.scope, l.application, l.environment, l.declaration, l.issuer, \
         m.source, m.group_id FROM leases l LEFT JOIN memberships_of_now m ON m.person = l.principal \
         WHERE l.state = 'live'";
    Query::composed(format!("{text} {rest} ORDER BY l.id"), Vec::new())
}

/// What leases are held against.
#[derive(Clone)]
pub(super) struct Allowing {
    /// What files declare.
    pub(super) declared: Arc<Snapshot>,
    /// Whose tokens of workloads are believed.
    pub(super) issuers: Vec<Name>,
}

/// Those that are allowed no more.
pub(super) async fn lost(database: &Database, by: &Allowing, now: Timestamp) -> Result<Vec<LeaseId>> {
    let rows: Vec<Row> = database.fetch_all(live("")).await?;
    let mut lost = Vec::new();
    for held in rows.chunk_by(|one, other| one.id == other.id) {
        if why_not(held, by, now)?.is_some() {
            lost.push(stored(&held[0].id)?);
        }
    }
    Ok(lost)
}

/// Begins the end of one, if it is allowed no more by what is there now.
pub(super) async fn end(work: &mut Work<'_>, id: LeaseId, by: &Allowing) -> Result<()> {
    let version: Option<(i64,)> =
        work.fetch_optional(sql("SELECT version FROM catalog WHERE id = 1")).await?;
    let rows: Vec<Row> = work.fetch_all(live("AND l.id = $1").bind(id)).await?;
    let why = if version == Some((by.declared.version,)) { why_not(&rows, by, work.now())? } else { None };
    let why = why.ok_or_else(|| Problem::conflict(format!("the lease {id} is allowed, or over")))?;
    end_lease(work, id, why).await
}

/// Why one lease is allowed no more, by the rows of its holder's groups; nothing where it is, or is over.
fn why_not(held: &[Row], by: &Allowing, now: Timestamp) -> Result<Option<&'static str>> {
    let Some(first) = held.first() else { return Ok(None) };
    if let Some(workload) = first.principal.strip_prefix("workload/")
        && let Some(why) = why_another(&stored(workload)?, first, by)
    {
        return Ok(Some(why));
    }
    Ok((!is_allowed(held, &by.declared, now)?).then_some("not-allowed"))
}

/// Why the workload of that name is not the one that was given the lease.
fn why_another(workload: &Name, held: &Row, by: &Allowing) -> Option<&'static str> {
    let Some(now) = by.declared.workloads.get(workload) else { return Some("no-longer-declared") };
    if held.declaration.as_deref() != Some(now.digest().as_slice()) {
        return Some("declaration-moved");
    }
    let is_believed = by.issuers.iter().any(|it| Some(it.as_str()) == held.issuer.as_deref());
    (!is_believed).then_some("issuer-gone")
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
