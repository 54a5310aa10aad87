//! Leases that have run out: by time, with their grant, or because nothing works for their holder now. A
//! suspended person's credentials cannot be made to rest at somebody's database, so they are taken back; and
//! so are those of a workload that files no longer declare.

use super::grants::stored;
use crate::{
    audit::Work,
    base::{Problem, Result, Timestamp, ids::LeaseId},
    secrets::end_lease,
    store::{Database, Query, sql},
};

/// Why each live lease that is over at `$1` is.
const OVER: &str = "SELECT l.id, CASE WHEN g.ended_at IS NOT NULL THEN 'grant-ended' \
     WHEN p.status = 'suspended' THEN 'suspended' \
     WHEN l.principal LIKE 'workload/%' AND d.name IS NULL THEN 'no-longer-declared' \
     ELSE 'time' END AS because \
     FROM leases l LEFT JOIN grants g ON g.id = l.grant_id LEFT JOIN people p ON p.id = l.principal \
     LEFT JOIN declared d ON d.kind = 'Workload' AND l.principal = 'workload/' || d.name \
     WHERE l.state = 'live' AND (l.ends_at <= $1 OR g.ended_at IS NOT NULL OR p.status = 'suspended' \
     OR (l.principal LIKE 'workload/%' AND d.name IS NULL))";

fn over(rest: &str, now: Timestamp) -> Query {
    Query::composed(format!("{OVER} {rest}"), Vec::new()).bind(now)
}

/// Those that are over.
pub(super) async fn ids(database: &Database, now: Timestamp) -> Result<Vec<LeaseId>> {
    let rows: Vec<(String, String)> = database.fetch_all(over("LIMIT 256", now)).await?;
    rows.iter().map(|(id, _)| stored(id)).collect()
}

/// When the next one is over; the past where one is already.
pub(super) async fn next(database: &Database) -> Result<Option<Timestamp>> {
    let query = sql("SELECT min(t.at) FROM (\
         SELECT min(ends_at) AS at FROM leases WHERE state = 'live' \
         UNION ALL SELECT min(g.ended_at) AS at FROM leases l JOIN grants g ON g.id = l.grant_id \
             WHERE l.state = 'live' \
         UNION ALL SELECT min(p.status_since) AS at FROM leases l JOIN people p ON p.id = l.principal \
             WHERE l.state = 'live' AND p.status = 'suspended' \
         UNION ALL SELECT min(l.created_at) AS at FROM leases l \
             LEFT JOIN declared d ON d.kind = 'Workload' AND l.principal = 'workload/' || d.name \
             WHERE l.state = 'live' AND l.principal LIKE 'workload/%' AND d.name IS NULL) t");
    let next: Option<(Option<i64>,)> = database.fetch_optional(query).await?;
    Ok(next.and_then(|(at,)| at).map(Timestamp::from_millis))
}

/// Begins the end of one, if it is over still: it may have been renewed, or its holder resumed.
pub(super) async fn end(work: &mut Work<'_>, id: LeaseId) -> Result<()> {
    let query = over("AND l.id = $2", work.now()).bind(id);
    let found: Option<(String, String)> = work.fetch_optional(query).await?;
    let (_, because) = found.ok_or_else(|| Problem::conflict(format!("the lease {id} is not over")))?;
    end_lease(work, id, &because).await
}
