//! Who may say yes to a request, read from the rows of now.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    base::{
        EnvironmentRef, Name, Result, Timestamp,
        ids::{Id, PersonId, SessionId},
    },
    catalog::Snapshot,
    policy::{
        Authentication, EnvironmentFacts, FactVersions, Membership, PersonFacts, PersonStatus, TrustScope,
    },
    store::{Database, Query, sql},
};

/// How old group memberships may be where a scope does not say.
const FACTS_NO_OLDER_THAN: Duration = Duration::from_hours(12);
/// The same where a protected environment is opened.
const FACTS_NO_OLDER_THAN_PROTECTED: Duration = Duration::from_hours(1);

/// Somebody who may approve.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Approver {
    /// Her id, `per_…`.
    pub id: String,
    /// What she is called; decides nothing.
    pub display_name: String,
}

/// A person joined with one of her memberships, or with none.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct StandingRow {
    status: String,
    facts: i64,
    source: Option<String>,
    group_id: Option<String>,
    asserted_at: Option<i64>,
}

impl StandingRow {
    /// The group of this row, as files call it.
    pub(super) fn alias<'d>(&self, declared: &'d Snapshot) -> Option<&'d Name> {
        declared.alias(self.source.as_deref()?, self.group_id.as_deref()?)
    }
}

/// Reads a person's status and memberships; the same in a unit and outside of one.
pub(super) fn standing_query(person: PersonId) -> Query {
    sql("SELECT p.status, p.facts, m.source, m.group_id, m.asserted_at FROM people p \
         LEFT JOIN memberships_of_now m ON m.person = p.id WHERE p.id = $1")
    .bind(person)
}

/// The facts of somebody who is not signed in here: enough for who she is, not for how she came.
/// Nothing for a person who does not exist.
pub(super) fn facts_of(
    person: PersonId,
    rows: Vec<StandingRow>,
    declared: &Snapshot,
    now: Timestamp,
) -> Option<PersonFacts> {
    let first = rows.first()?;
    let status = PersonStatus::from_stored(&first.status);
    let versions = FactVersions {
        person: Some((person, first.facts)),
        catalog: declared.version,
        ..FactVersions::default()
    };
    let memberships = rows.into_iter().filter_map(|row| membership(row, declared)).collect();
    Some(PersonFacts {
        person,
        status,
        memberships,
        received_groups: Vec::new(),
        teams: declared.teams.clone(),
        authentication: Authentication {
            session: SessionId::from_uuid(Uuid::nil()),
            at: Timestamp::EPOCH,
            confirmed_at: Timestamp::EPOCH,
            acr: None,
            session_ends: now,
        },
        grants: Vec::new(),
        scopes: Arc::clone(&declared.scopes),
        now,
        network: None,
        versions,
    })
}

fn membership(row: StandingRow, declared: &Snapshot) -> Option<Membership> {
    let source = row.source?;
    let group = declared.alias(&source, &row.group_id?)?.clone();
    Some(Membership { group, source, asserted_at: Timestamp::from_millis(row.asserted_at?) })
}

/// How old memberships may be for this scope in this environment.
fn oldest_fact(scope: &TrustScope, at: &EnvironmentFacts) -> Duration {
    match &scope.facts {
        Some(facts) => facts.no_older_than,
        None if at.protected => FACTS_NO_OLDER_THAN_PROTECTED,
        None => FACTS_NO_OLDER_THAN,
    }
}

/// What policy has to know of an environment, also of one that no file declares any more: then as little
/// as can be allowed there.
pub(super) fn environment_of(declared: &Snapshot, at: &EnvironmentRef) -> EnvironmentFacts {
    declared.environment(at).unwrap_or_else(|_| EnvironmentFacts {
        at: at.clone(),
        owner: None,
        protected: true,
    })
}

/// Whether she may approve requests for `scope` in `at` now, as far as groups go.
pub(super) fn may_approve(facts: &PersonFacts, scope: &TrustScope, at: &EnvironmentFacts) -> bool {
    let Some(by_request) = &scope.by_request else { return false };
    let oldest = oldest_fact(scope, at);
    facts.status == PersonStatus::Active
        && facts
            .memberships
            .iter()
            .any(|m| by_request.approvers.contains(&m.group) && facts.now.since(m.asserted_at) <= oldest)
}

/// Everybody who may approve a request of `requester` for `scope` in `at` now, by name.
///
/// # Errors
/// A problem of the database.
pub async fn approvers(
    database: &Database,
    declared: &Snapshot,
    scope: &TrustScope,
    at: &EnvironmentFacts,
    requester: PersonId,
    now: Timestamp,
) -> Result<Vec<Approver>> {
    let Some(by_request) = &scope.by_request else { return Ok(Vec::new()) };
    let since = now.before(oldest_fact(scope, at));
    let mut found: Vec<Approver> = Vec::new();
    for group in declared.groups.values().filter(|group| by_request.approvers.contains(&group.name)) {
        let people = sql("SELECT p.id, p.display_name FROM memberships_of_now m JOIN people p ON p.id = m.person \
             WHERE m.source = $1 AND m.group_id = $2 AND m.asserted_at >= $3 AND p.status = 'active' AND p.id <> $4")
        .bind(&group.provider)
        .bind(&group.id)
        .bind(since)
        .bind(requester);
        found.extend(database.fetch_all::<Approver>(people).await?);
    }
    found.sort_by(|a, b| (&a.display_name, &a.id).cmp(&(&b.display_name, &b.id)));
    found.dedup();
    Ok(found)
}
