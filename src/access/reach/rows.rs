//! The facts of now, for everybody, a bounded number of people at a time.

use std::{collections::BTreeMap, sync::Arc};

use super::{KnownSession, Somebody, World};
use crate::{
    access::grants::{Grant, GrantRow, stored},
    base::{Result, Timestamp, ids::PersonId},
    catalog::Snapshot,
    identity::GroupRow,
    policy::{GrantFact, PersonStatus},
    store::{Database, Query, sql},
};

/// People that are read at once.
const AT_ONCE: i64 = 500;

#[derive(sqlx::FromRow)]
struct StatusRow {
    id: String,
    status: String,
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    person: String,
    source: String,
    group_id: String,
    asserted_at: i64,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    person: String,
    authenticated_at: i64,
    confirmed_at: i64,
    acr: Option<String>,
    ends_at: i64,
}

/// Everybody, as the rows of now have them.
///
/// # Errors
/// A problem of the database.
pub async fn world_of_now(database: &Database, declared: Arc<Snapshot>, now: Timestamp) -> Result<World> {
    let mut people = BTreeMap::new();
    let mut after = String::new();
    loop {
        let some = sql("SELECT id, status FROM people WHERE id > $1 ORDER BY id LIMIT $2");
        let rows: Vec<StatusRow> = database.fetch_all(some.bind(&after).bind(AT_ONCE)).await?;
        let Some(last) = rows.last() else { break };
        let range = (after, last.id.clone());
        for row in &rows {
            let status = PersonStatus::from_stored(&row.status);
            people.insert(stored(&row.id)?, Somebody { status, ..Somebody::new() });
        }
        fill(database, &mut people, &range, now).await?;
        after = range.1;
    }
    Ok(World { people, declared, now })
}

/// What else decides about the people of this range of ids.
async fn fill(
    database: &Database,
    people: &mut BTreeMap<PersonId, Somebody>,
    range: &(String, String),
    now: Timestamp,
) -> Result<()> {
    let within = |text: &'static str| -> Query { sql(text).bind(&range.0).bind(&range.1) };
    let groups = within(
        "SELECT person, source, group_id, asserted_at FROM memberships_of_now WHERE person > $1 AND person <= $2 \
         ORDER BY person, source, group_id",
    );
    for row in database.fetch_all::<MembershipRow>(groups).await? {
        let asserted_at = Timestamp::from_millis(row.asserted_at);
        let group = GroupRow { source: row.source, group_id: row.group_id, asserted_at };
        if let Some(somebody) = people.get_mut(&stored(&row.person)?) {
            somebody.groups.push(group);
        }
    }
    let sessions = within(
        "SELECT id, person, authenticated_at, COALESCE(confirmed_at, created_at) AS confirmed_at, acr, ends_at \
         FROM sessions WHERE person > $1 AND person <= $2 AND ended_at IS NULL AND ends_at > $3 AND kind <> 'recovery' ORDER BY person, created_at, id",
    );
    for row in database.fetch_all::<SessionRow>(sessions.bind(now)).await? {
        if let Some(somebody) = people.get_mut(&stored(&row.person)?) {
            somebody.sessions.push(KnownSession {
                id: stored(&row.id)?,
                authenticated_at: Timestamp::from_millis(row.authenticated_at),
                confirmed_at: Timestamp::from_millis(row.confirmed_at),
                acr: row.acr,
                ends_at: Some(Timestamp::from_millis(row.ends_at)),
            });
        }
    }
    let grants = within(
        "SELECT * FROM grants WHERE person > $1 AND person <= $2 AND ended_at IS NULL ORDER BY starts_at, id",
    );
    for row in database.fetch_all::<GrantRow>(grants).await? {
        let grant = Grant::try_from(row)?;
        if let Some(somebody) = people.get_mut(&grant.person) {
            somebody.grants.push(GrantFact {
                id: grant.id,
                scope: grant.scope,
                environment: grant.at,
                starts: grant.starts_at,
                ends: grant.ends_at,
            });
        }
    }
    Ok(())
}
