//! Approving powers: which requests somebody could decide, and who else could.

use super::{
    Request,
    approvers::{StandingRow, approvers, environment_of, standing_query},
    request::{RequestRow, SELECT},
};
use crate::{
    base::{Result, Timestamp, ids::PersonId},
    catalog::Snapshot,
    store::{Database, Query},
};

/// A pending request that somebody's groups let her decide.
#[derive(Clone, Debug)]
pub struct Power {
    /// The request.
    pub request: Request,
    /// How many others could decide it now.
    pub others: usize,
}

/// The pending requests that the groups of `person` let her decide, whether anything works for her or not.
///
/// # Errors
/// A problem of the database.
pub async fn powers_of(
    database: &Database,
    declared: &Snapshot,
    person: PersonId,
    now: Timestamp,
) -> Result<Vec<Power>> {
    let rows: Vec<StandingRow> = database.fetch_all(standing_query(person)).await?;
    let groups: Vec<_> = rows.iter().filter_map(|row| row.alias(declared)).collect();
    let pending: Vec<RequestRow> = database
        .fetch_all(Query::composed(format!("{SELECT} WHERE r.state = 'pending' ORDER BY r.id"), Vec::new()))
        .await?;
    let mut powers = Vec::new();
    for request in pending {
        let request = Request::try_from(request)?;
        let Some(scope) = declared.scope(&request.scope) else { continue };
        let hers = scope
            .by_request
            .as_ref()
            .is_some_and(|it| it.approvers.iter().any(|group| groups.contains(&group)));
        if request.person == person || request.expires_at <= now || !hers {
            continue;
        }
        let at = environment_of(declared, &request.at);
        let able = approvers(database, declared, scope, &at, request.person, now).await?;
        let others = able.iter().filter(|it| it.id != person.to_string()).count();
        powers.push(Power { request, others });
    }
    Ok(powers)
}
