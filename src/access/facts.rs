//! The facts of now (invariant 4): gathered for a decision, and read again in the transaction of what
//! was decided.

use std::sync::Arc;

use async_trait::async_trait;

use super::grants::{Grant, grants_of};
use crate::{
    audit::FactsOfNow,
    base::{
        Name, Problem, ProblemKind, Result, Timestamp,
        ids::{PersonId, SessionId, WorkloadTokenId},
    },
    catalog::Snapshot,
    identity::{Caller, GroupRow, Identity, PersonRow, SessionKind},
    policy::{Authentication, FactVersions, GrantFact, Membership, Permit, PersonFacts},
    store::{Database, WriteTx, sql},
};

/// Gathers what is known of a caller. Versions are read before what they are versions of, so that a
/// change in between is noticed later.
pub(super) async fn gather(
    identity: &Identity,
    database: &Database,
    declared: &Snapshot,
    caller: &Caller,
    now: Timestamp,
) -> Result<PersonFacts> {
    let row = identity.person_facts(caller).await?;
    let grants = grants_of(database, caller.person, now).await?;
    let facts = PersonFacts {
        person: row.person,
        status: row.status,
        memberships: memberships(&row, declared, now),
        received_groups: row.memberships.iter().map(|it| format!("{}/{}", it.source, it.group_id)).collect(),
        teams: declared.teams.clone(),
        authentication: Authentication {
            session: row.session.id,
            at: row.session.authenticated_at,
            confirmed_at: row.session.confirmed_at,
            acr: row.session.acr.clone(),
            session_ends: row.session.ends_at,
        },
        grants: grants.iter().map(grant_fact).collect(),
        scopes: Arc::clone(&declared.scopes),
        now,
        network: caller.network,
        versions: FactVersions {
            person: Some((row.person, row.facts)),
            session: Some(row.session.id),
            catalog: declared.version,
            ..FactVersions::default()
        },
    };
    Ok(if row.session.kind == SessionKind::Recovery { for_recovery(facts) } else { facts })
}

/// A recovery session opens the built-in scope and nothing else, whatever files say of its groups: no
/// team, no grant, no scope that files declare.
fn for_recovery(facts: PersonFacts) -> PersonFacts {
    let scopes = facts.scopes.iter().take(1).cloned().collect::<Vec<_>>();
    PersonFacts { scopes: Arc::new(scopes), teams: Vec::new(), grants: Vec::new(), ..facts }
}

/// A person's groups under the aliases that files declare; in a recovery session those of the built-in
/// scope instead.
fn memberships(row: &PersonRow, declared: &Snapshot, now: Timestamp) -> Vec<Membership> {
    if row.session.kind == SessionKind::Recovery {
        let administrators = declared.scopes.first().map_or(&[][..], |scope| scope.members.groups.as_slice());
        let source = "recovery".to_owned();
        return administrators
            .iter()
            .map(|group| Membership { group: group.clone(), source: source.clone(), asserted_at: now })
            .collect();
    }
    row.memberships.iter().filter_map(|it| membership(it, declared)).collect()
}

pub(super) fn membership(row: &GroupRow, declared: &Snapshot) -> Option<Membership> {
    let group = declared.alias(&row.source, &row.group_id)?.clone();
    Some(Membership { group, source: row.source.clone(), asserted_at: row.asserted_at })
}

fn grant_fact(grant: &Grant) -> GrantFact {
    GrantFact {
        id: grant.id,
        scope: grant.scope.clone(),
        environment: grant.at.clone(),
        starts: grant.starts_at,
        ends: grant.ends_at,
    }
}

/// The teams that a person is in, however long ago her groups were asserted.
pub(super) fn teams_of(facts: &PersonFacts) -> Vec<Name> {
    let within = |groups: &[Name]| facts.memberships.iter().any(|it| groups.contains(&it.group));
    facts.teams.iter().filter(|(_, groups)| within(groups)).map(|(team, _)| team.clone()).collect()
}

/// Reads again what a permit rests on, in the transaction of what it permits.
///
/// What the log writes is in one order, and whatever moves a fact is written there: so what is read
/// here still holds when the transaction commits.
pub struct RowsOfNow;

#[derive(sqlx::FromRow)]
struct PersonNow {
    facts: i64,
    catalog: i64,
    live: i64,
}

#[async_trait]
impl FactsOfNow for RowsOfNow {
    async fn confirm(&self, tx: &mut WriteTx, permit: &Permit, now: Timestamp) -> Result<()> {
        if now > permit.good_until() {
            return Err(changed("the time for which it was decided is over"));
        }
        let rests_on = permit.rests_on();
        match (rests_on.person, rests_on.session, rests_on.workload) {
            (Some((person, facts)), Some(session), None) => {
                confirm_person(tx, person, facts, session, rests_on.catalog).await
            }
            (None, None, Some(token)) => confirm_workload(tx, token, rests_on.catalog, now).await,
            (None, None, None) => match &rests_on.connection {
                Some((name, version)) => confirm_connection(tx, name, *version).await,
                // Our own services rest on nothing that moves.
                None => Ok(()),
            },
            _ => Err(Problem::internal("a permit of a person rests on her facts and on her session")),
        }
    }
}

async fn confirm_person(
    tx: &mut WriteTx,
    person: PersonId,
    facts: i64,
    session: SessionId,
    catalog: i64,
) -> Result<()> {
    let row: Option<PersonNow> = tx
        .fetch_optional(
            sql("SELECT p.facts, c.version AS catalog, \
                 CAST(CASE WHEN s.ended_at IS NULL THEN 1 ELSE 0 END AS BIGINT) AS live \
                 FROM people p JOIN sessions s ON s.person = p.id JOIN catalog c ON c.id = 1 \
                 WHERE p.id = $1 AND s.id = $2")
            .bind(person)
            .bind(session),
        )
        .await?;
    let row = row.ok_or_else(|| changed("the session is gone"))?;
    if row.live == 0 {
        return Err(changed("the session has ended"));
    }
    if row.facts != facts {
        return Err(changed("what is known of the person has moved"));
    }
    if row.catalog != catalog {
        return Err(changed("what files declare has moved"));
    }
    Ok(())
}

async fn confirm_connection(tx: &mut WriteTx, name: &Name, version: i64) -> Result<()> {
    let row: Option<(i64,)> =
        tx.fetch_optional(sql("SELECT version FROM scim_connections WHERE name = $1").bind(name)).await?;
    match row {
        Some((now,)) if now == version => Ok(()),
        _ => Err(changed("the connection was changed")),
    }
}

#[derive(sqlx::FromRow)]
struct WorkloadNow {
    catalog: i64,
    ends_at: i64,
    ended_at: Option<i64>,
}

async fn confirm_workload(
    tx: &mut WriteTx,
    token: WorkloadTokenId,
    catalog: i64,
    now: Timestamp,
) -> Result<()> {
    let row: Option<WorkloadNow> = tx
        .fetch_optional(
            sql("SELECT c.version AS catalog, t.ends_at, t.ended_at FROM workload_tokens t \
                 JOIN catalog c ON c.id = 1 WHERE t.id = $1")
            .bind(token),
        )
        .await?;
    let row = row.ok_or_else(|| changed("the workload's token is gone"))?;
    if row.ended_at.is_some() || row.ends_at <= now.as_millis() {
        return Err(changed("the workload's token has ended"));
    }
    if row.catalog != catalog {
        return Err(changed("what files declare has moved"));
    }
    Ok(())
}

fn changed(what: &str) -> Problem {
    Problem::new(ProblemKind::FactsChanged, format!("{what} while this was decided"))
        .remedy("Try again; it is decided anew.")
}
