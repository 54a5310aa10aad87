//! Grants: a trust scope held by one person in one environment until it ends.

use std::str::FromStr;

use crate::{
    audit::{Draft, Work},
    base::{
        EnvironmentRef, Name, Problem, Result, Timestamp,
        ids::{GrantId, PersonId, RequestId},
    },
    store::{Database, sql},
};

/// A trust scope held for a while. Decisions compare `ends_at` with the time; that it has ended is
/// recorded a moment later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The request that it came from; one request gives one grant at most.
    pub request: RequestId,
    /// Who holds it.
    pub person: PersonId,
    /// Which trust scope.
    pub scope: Name,
    /// Where.
    pub at: EnvironmentRef,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
    /// When its end was recorded, and why: `time`, `deactivated`, `no-longer-justified`.
    pub ended: Option<(Timestamp, String)>,
}

#[derive(sqlx::FromRow)]
pub(super) struct GrantRow {
    id: String,
    request: String,
    person: String,
    scope: String,
    application: String,
    environment: String,
    team: String,
    starts_at: i64,
    ends_at: i64,
    ended_at: Option<i64>,
    ended_because: Option<String>,
}

impl TryFrom<GrantRow> for Grant {
    type Error = Problem;

    fn try_from(row: GrantRow) -> Result<Self> {
        Ok(Self {
            id: stored(&row.id)?,
            request: stored(&row.request)?,
            person: stored(&row.person)?,
            scope: stored(&row.scope)?,
            at: stored_environment(&row.application, &row.environment, &row.team)?,
            starts_at: Timestamp::from_millis(row.starts_at),
            ends_at: Timestamp::from_millis(row.ends_at),
            ended: row.ended_at.map(|at| (Timestamp::from_millis(at), row.ended_because.unwrap_or_default())),
        })
    }
}

/// Reads what this program stored.
///
/// # Errors
/// `internal` where it cannot be: somebody else has written there.
pub fn stored<T: FromStr<Err = String>>(text: &str) -> Result<T> {
    text.parse().map_err(|e| Problem::internal(format!("a stored text cannot be read: {e}")))
}

/// Reads the three columns of an environment.
///
/// # Errors
/// `internal` as [`stored`].
pub fn stored_environment(application: &str, environment: &str, team: &str) -> Result<EnvironmentRef> {
    Ok(EnvironmentRef {
        application: stored(application)?,
        environment: stored(environment)?,
        team: if team.is_empty() { None } else { Some(stored(team)?) },
    })
}

/// Live grants of `person`, the newest first.
///
/// # Errors
/// A problem of the database.
pub async fn grants_of(database: &Database, person: PersonId, now: Timestamp) -> Result<Vec<Grant>> {
    let rows: Vec<GrantRow> = database
        .fetch_all(
            sql("SELECT * FROM grants WHERE person = $1 AND ended_at IS NULL AND starts_at <= $2 AND ends_at > $2 \
                 ORDER BY starts_at DESC, id DESC")
            .bind(person)
            .bind(now),
        )
        .await?;
    rows.into_iter().map(Grant::try_from).collect()
}

/// The grant that a request became.
///
/// # Errors
/// A problem of the database.
pub(super) async fn grant_of(database: &Database, request: RequestId) -> Result<Option<Grant>> {
    let row: Option<GrantRow> =
        database.fetch_optional(sql("SELECT * FROM grants WHERE request = $1").bind(request)).await?;
    row.map(Grant::try_from).transpose()
}

/// Inserts a grant that begins now, moves the person's facts, and drafts `grant.began`.
pub(super) async fn begin(work: &mut Work<'_>, grant: &Grant) -> Result<()> {
    work.execute(
        sql("INSERT INTO grants (id, request, person, scope, application, environment, team, starts_at, ends_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(grant.id)
        .bind(grant.request)
        .bind(grant.person)
        .bind(&grant.scope)
        .bind(&grant.at.application)
        .bind(&grant.at.environment)
        .bind(grant.at.team_column())
        .bind(grant.starts_at)
        .bind(grant.ends_at),
    )
    .await?;
    move_facts(work, grant.person).await?;
    work.record(about(grant, "grant.began").with("ends_at", grant.ends_at.to_string()));
    Ok(())
}

/// Ends a grant that has not ended, whoever's it is, and drafts `grant.ended`. For a unit that acts
/// under a permit to `expire` or `revoke`.
///
/// # Errors
/// `conflict` where it has ended already.
pub async fn end(work: &mut Work<'_>, id: GrantId, because: &str) -> Result<()> {
    let row: Option<GrantRow> = work
        .fetch_optional(
            sql("UPDATE grants SET ended_at = $2, ended_because = $3 WHERE id = $1 AND ended_at IS NULL RETURNING *")
                .bind(id)
                .bind(work.now())
                .bind(because),
        )
        .await?;
    let grant = row.map(Grant::try_from).transpose()?;
    let grant = grant.ok_or_else(|| Problem::conflict(format!("the grant {id} has ended already")))?;
    if because == "time" && work.now() < grant.ends_at {
        return Err(Problem::conflict(format!("the grant {id} lasts until {}", grant.ends_at)));
    }
    move_facts(work, grant.person).await?;
    work.record(about(&grant, "grant.ended").with("because", because));
    Ok(())
}

fn about(grant: &Grant, action: &str) -> Draft {
    Draft::act(action)
        .subject(grant.person)
        .environment(&grant.at)
        .request(grant.request)
        .with("grant", grant.id.to_string())
        .with("of", grant.scope.as_str())
}

/// Moves the version of a person's facts, so that whatever was decided before is decided again.
///
/// # Errors
/// A problem of the database.
pub async fn move_facts(work: &mut Work<'_>, person: PersonId) -> Result<()> {
    work.execute(sql("UPDATE people SET facts = facts + 1 WHERE id = $1").bind(person)).await?;
    Ok(())
}
