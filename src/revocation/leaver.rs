//! A leaver: what is left of what she held, counted down to zero.

use super::{
    delays::{self, Delay},
    held::{self, HeldThing},
    rotation::{self, Lenient, Task},
};
use crate::{
    access::stored,
    audit::{Draft, Work},
    base::{Problem, Result, Timestamp, ids::PersonId},
    catalog::Snapshot,
    policy::PersonStatus,
    store::{Database, Query, sql},
};

/// How a leaver was closed: everything went by itself.
const NOTHING_LEFT: &str = "nothing-left";
/// How a leaver was closed: she is active again.
const CAME_BACK: &str = "came-back";

/// How much is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Left {
    /// Sessions that have not ended.
    pub sessions: i64,
    /// Requests that are pending.
    pub requests: i64,
    /// Grants that have not ended.
    pub grants: i64,
    /// Leases that the engine has not taken back yet.
    pub leases: i64,
    /// Rotation tasks that have to be done and are open, or about to be.
    pub rotation_tasks: i64,
    /// Rotation tasks that two people have agreed may wait: these hold nothing up.
    pub waived: i64,
}

impl Left {
    /// All of it together, but for what may wait.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.sessions + self.requests + self.grants + self.leases + self.rotation_tasks
    }
}

/// Something that was done about a leaver, as the log has it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct StepTaken {
    /// The entry's index in the log.
    pub entry: i64,
    /// When, in milliseconds since the epoch.
    pub time: i64,
    /// What: `grant.ended`, `rotation.opened`, …
    pub action: String,
    /// By whom.
    pub actor: String,
    /// In which application, environment and secret, where it was in one.
    pub application: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The secret.
    pub secret: Option<String>,
}

/// One line in the list of leavers.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct LeaverRow {
    /// Who, `per_…`.
    pub id: String,
    /// What she is called.
    pub display_name: String,
    /// Her address, for display.
    pub email: String,
    /// Since when, in milliseconds since the epoch.
    pub since: i64,
    /// When it was closed, in milliseconds since the epoch.
    pub closed_at: Option<i64>,
    /// How it was closed: `nothing-left`, or `by-hand` by somebody who said why.
    pub outcome: Option<String>,
    /// Who closed it by hand.
    pub closed_by: Option<String>,
    /// Why it was closed by hand.
    pub closed_because: Option<String>,
    /// Whether she has come back since.
    #[sqlx(default)]
    pub came_back: bool,
    /// How much is left.
    #[sqlx(flatten)]
    pub left: Left,
}

/// A leaver with everything there is to say.
#[derive(Clone, Debug)]
pub struct Leaver {
    /// Who, since when, how much is left.
    pub row: LeaverRow,
    /// What was done since she left, the oldest first.
    pub steps: Vec<StepTaken>,
    /// Her rotation tasks since she left, open and closed.
    pub tasks: Vec<Task>,
    /// What she held, and when each died.
    pub held: Vec<HeldThing>,
    /// Steps that could not be taken yet, and why.
    pub delays: Vec<Delay>,
}

/// Whether an exposure counts: `$1` are the scopes under which knowing a value asks for less than a task
/// that has to be done.
macro_rules! counts {
    ($exposure:literal) => {
        concat!("(", $exposure, ".scope IS NULL OR $1 NOT LIKE '%,' || ", $exposure, ".scope || ',%')")
    };
}

/// Open tasks with her as a cause that counts.
macro_rules! tasks_of_hers {
    ($waived:literal) => {
        concat!(
            "(SELECT count(DISTINCT COALESCE(t.bundle, t.id)) FROM rotation_tasks t \
             JOIN rotation_causes c ON c.task = t.id JOIN exposures x \
                 ON x.principal = c.person AND x.fingerprint = c.fingerprint \
             WHERE c.person = p.id AND t.state = 'open' AND ",
            counts!("x"),
            " AND ",
            $waived,
            " (SELECT 1 FROM rotation_waivers w WHERE w.task = COALESCE(t.bundle, t.id) \
                 AND w.confirmed_at IS NOT NULL AND w.ended_at IS NULL))"
        )
    };
}

/// A value that a leaver knows and that is in use counts from the first instant, before its task is
/// there: so nobody ever reads zero too early.
const SELECT: &str = concat!(
    "SELECT p.id, p.display_name, p.email, p.status_since AS since, l.closed_at, \
     l.outcome, l.closed_by, l.closed_because, \
     (SELECT count(*) FROM sessions s WHERE s.person = p.id AND s.ended_at IS NULL) AS sessions, \
     (SELECT count(*) FROM requests r WHERE r.person = p.id AND r.state = 'pending') AS requests, \
     (SELECT count(*) FROM grants g WHERE g.person = p.id AND g.ended_at IS NULL) AS grants, \
     (SELECT count(*) FROM leases i WHERE i.principal = p.id AND i.state <> 'ended') AS leases, ",
    tasks_of_hers!("NOT EXISTS"),
    " + (SELECT count(DISTINCT e.fingerprint) FROM exposures e JOIN versions v ON v.fingerprint = e.fingerprint \
          JOIN secrets k ON k.id = v.secret WHERE e.principal = p.id AND ",
    counts!("e"),
    " AND ((v.number = k.current_number AND v.state = 'live') OR EXISTS \
              (SELECT 1 FROM delivered_versions d WHERE d.secret = k.id AND d.version = v.id)) \
          AND NOT EXISTS (SELECT 1 FROM rotation_tasks t JOIN rotation_causes c ON c.task = t.id \
              WHERE t.secret = k.id AND t.state = 'open' AND c.person = p.id \
              AND c.fingerprint = e.fingerprint)) AS rotation_tasks, ",
    tasks_of_hers!("EXISTS"),
    " AS waived FROM people p LEFT JOIN leavers l ON l.person = p.id AND l.since = p.status_since \
     WHERE p.status = 'deactivated'"
);

/// Those who have come back since, whatever they are now. What they hold they were given anew; what they knew
/// has to be changed all the same.
const CAME_BACK_SINCE: &str = concat!(
    "SELECT p.id, p.display_name, p.email, l.since, l.closed_at, l.outcome, l.closed_by, l.closed_because, \
     CAST(0 AS BIGINT) AS sessions, CAST(0 AS BIGINT) AS requests, CAST(0 AS BIGINT) AS grants, \
     CAST(0 AS BIGINT) AS leases, ",
    tasks_of_hers!("NOT EXISTS"),
    " AS rotation_tasks, ",
    tasks_of_hers!("EXISTS"),
    " AS waived FROM leavers l JOIN people p ON p.id = l.person \
     WHERE p.status <> 'deactivated' OR p.status_since <> l.since ORDER BY l.since DESC LIMIT 500"
);

pub(super) fn one_query(declared: &Snapshot, person: PersonId) -> Query {
    select(declared, " AND p.id = $2").bind(person)
}

fn select(declared: &Snapshot, rest: &str) -> Query {
    Query::composed(format!("{SELECT}{rest}"), vec![Lenient::of(declared).not_requiring.into()])
}

/// Whether there may be anything to do: somebody has left, has come back without that being noted, or a
/// rotation task is open.
pub(super) async fn any(database: &Database) -> Result<bool> {
    let found: Option<(String,)> = database
        .fetch_optional(sql("SELECT id FROM people WHERE status = 'deactivated' \
             UNION ALL SELECT person FROM leavers WHERE closed_at IS NULL \
             UNION ALL SELECT id FROM rotation_tasks WHERE state = 'open' LIMIT 1"))
        .await?;
    Ok(found.is_some())
}

/// Everyone who has left: those with something left first, then the newest first, then those who have come
/// back; 500 of either at most.
pub(super) async fn all(database: &Database, declared: &Snapshot) -> Result<Vec<LeaverRow>> {
    let order = " ORDER BY CASE WHEN l.closed_at IS NULL THEN 0 ELSE 1 END, p.status_since DESC LIMIT 500";
    let mut rows: Vec<LeaverRow> = database.fetch_all(select(declared, order)).await?;
    let returned = sql(CAME_BACK_SINCE).bind(Lenient::of(declared).not_requiring);
    let returned: Vec<LeaverRow> = database.fetch_all(returned).await?;
    rows.extend(returned.into_iter().map(|row| LeaverRow { came_back: true, ..row }));
    Ok(rows)
}

pub(super) async fn one(database: &Database, declared: &Snapshot, person: PersonId) -> Result<Leaver> {
    let row: Option<LeaverRow> = database.fetch_optional(one_query(declared, person)).await?;
    let Some(row) = row else { return Err(why_none(database, person).await?) };
    let since = Timestamp::from_millis(row.since);
    let steps = database
        .fetch_all(
            sql("SELECT idx AS entry, time, action, actor, application, environment, secret FROM entries \
                 WHERE subject = $1 AND time >= $2 AND kind <> 'denial' ORDER BY idx LIMIT 1000")
            .bind(person)
            .bind(since),
        )
        .await?;
    let mut tasks = rotation::list(database, declared, None, Some(person)).await?;
    tasks.retain(|task| task.closed_at.is_none_or(|at| at >= since));
    let held = held::of(database, person, since).await?;
    let delays = delays::of(database, person).await?;
    Ok(Leaver { row, steps, tasks, held, delays })
}

/// Leavers of whom nothing seems to be left, which is not noted yet.
pub(super) async fn through(database: &Database, declared: &Snapshot) -> Result<Vec<PersonId>> {
    let open = " AND l.person IS NOT NULL AND l.closed_at IS NULL";
    let rows: Vec<LeaverRow> = database.fetch_all(select(declared, open)).await?;
    rows.iter().filter(|row| row.left.total() == 0).map(|row| stored(&row.id)).collect()
}

async fn why_none(database: &Database, person: PersonId) -> Result<Problem> {
    let found: Option<(String,)> =
        database.fetch_optional(sql("SELECT status FROM people WHERE id = $1").bind(person)).await?;
    Ok(match found {
        None => Problem::not_found(format!("there is no person {person}"))
            .remedy("`portctl person list` shows those that there are."),
        Some((status,)) => {
            let status = PersonStatus::from_stored(&status).as_str();
            let left: Option<(i64,)> = database
                .fetch_optional(
                    sql("SELECT since FROM leavers WHERE person = $1 ORDER BY since DESC LIMIT 1")
                        .bind(person),
                )
                .await?;
            if let Some((since,)) = left {
                let since = Timestamp::from_millis(since);
                return Ok(Problem::conflict(format!(
                    "{person} left at {since} and has come back: she is {status}"
                ))
                .remedy("What she knew when she left is changed all the same: `portctl rotation list`."));
            }
            Problem::conflict(format!(
                "{person} has not left: she is {status}, and nothing is taken from her"
            ))
            .remedy(format!("Where she has left: `portctl person deactivate {person} --reason \"…\"`."))
        }
    })
}

/// Notes that somebody has left.
pub(super) async fn begin(work: &mut Work<'_>, person: PersonId) -> Result<()> {
    let touched = work
        .execute(
            sql("INSERT INTO leavers (person, since) SELECT id, status_since FROM people \
                 WHERE id = $1 AND status = 'deactivated' ON CONFLICT (person, since) DO NOTHING")
            .bind(person),
        )
        .await?;
    if touched == 0 {
        return Err(Problem::conflict(format!("{person} has not left, or that is noted")));
    }
    work.record(Draft::act("leaver.opened").subject(person));
    Ok(())
}

/// Notes that nothing is left.
pub(super) async fn finish(work: &mut Work<'_>, declared: &Snapshot, person: PersonId) -> Result<()> {
    let row: Option<LeaverRow> = work.fetch_optional(one_query(declared, person)).await?;
    let row = row.ok_or_else(|| Problem::conflict(format!("{person} has not left")))?;
    if row.left.total() > 0 {
        return Err(Problem::conflict(format!("{} things are left of {person}", row.left.total())));
    }
    let touched = work
        .execute(
            sql("UPDATE leavers SET closed_at = $3, outcome = $4 \
                 WHERE person = $1 AND since = $2 AND closed_at IS NULL")
            .bind(person)
            .bind(row.since)
            .bind(work.now())
            .bind(NOTHING_LEFT),
        )
        .await?;
    if touched == 0 {
        return Err(Problem::conflict(format!("that nothing is left of {person} is noted")));
    }
    work.record(Draft::act("leaver.closed").subject(person).with("outcome", NOTHING_LEFT));
    Ok(())
}

/// Leavers who were through while a rotation task of theirs is open that has to be done: what files ask for has
/// become more since, or it may wait no longer.
pub(super) fn to_reopen(declared: &Snapshot) -> Query {
    let text = concat!(
        "SELECT DISTINCT l.person AS person, l.person AS thing, CAST(NULL AS BLOB) AS fingerprint \
         FROM rotation_tasks t JOIN rotation_causes c ON c.task = t.id \
         JOIN people p ON p.id = c.person AND p.status = 'deactivated' \
         JOIN leavers l ON l.person = p.id AND l.since = p.status_since AND l.outcome = $2 \
         JOIN exposures x ON x.principal = c.person AND x.fingerprint = c.fingerprint \
         WHERE t.state = 'open' AND ",
        counts!("x"),
        " AND NOT EXISTS (SELECT 1 FROM rotation_waivers w WHERE w.task = COALESCE(t.bundle, t.id) \
             AND w.confirmed_at IS NOT NULL AND w.ended_at IS NULL) LIMIT 256"
    );
    sql(text).bind(Lenient::of(declared).not_requiring).bind(NOTHING_LEFT)
}

/// Notes that something is left of her again.
pub(super) async fn reopen(work: &mut Work<'_>, declared: &Snapshot, person: PersonId) -> Result<()> {
    let row: Option<LeaverRow> = work.fetch_optional(one_query(declared, person)).await?;
    let row = row.ok_or_else(|| Problem::conflict(format!("{person} has not left")))?;
    let is_open = row.outcome.as_deref() != Some(NOTHING_LEFT);
    if is_open || row.left.rotation_tasks == 0 {
        return Err(Problem::conflict(format!("nothing is left of {person}, or that is noted")));
    }
    work.execute(
        sql("UPDATE leavers SET closed_at = NULL, outcome = NULL WHERE person = $1 AND since = $2")
            .bind(person)
            .bind(row.since),
    )
    .await?;
    let tasks = row.left.rotation_tasks;
    work.record(Draft::act("leaver.reopened").subject(person).with("rotation_tasks", tasks));
    Ok(())
}

/// Notes that she has come back: what was left then is hers no longer, or goes on as rotation work.
pub(super) async fn came_back(work: &mut Work<'_>, person: PersonId) -> Result<()> {
    let touched = work
        .execute(
            sql("UPDATE leavers SET closed_at = $2, outcome = $3 WHERE person = $1 AND closed_at IS NULL \
                 AND NOT EXISTS (SELECT 1 FROM people p WHERE p.id = leavers.person \
                     AND p.status = 'deactivated' AND p.status_since = leavers.since)")
            .bind(person)
            .bind(work.now())
            .bind(CAME_BACK),
        )
        .await?;
    if touched == 0 {
        return Err(Problem::conflict(format!("{person} has not come back, or that is noted")));
    }
    work.record(Draft::act("leaver.closed").subject(person).with("outcome", CAME_BACK));
    Ok(())
}
