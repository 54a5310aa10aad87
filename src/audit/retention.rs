//! What keeps entries from being forgotten: their age, and holds.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Authority, Draft, Log, Unit, Work};
use crate::{
    base::{
        Problem, Result, Timestamp,
        ids::{HoldId, PersonId},
    },
    policy::{Action, Permit},
    store::{Database, sql},
};

/// Holds that a list holds at most.
const MOST_HOLDS: i64 = 1000;

/// Something that is to stay as it is, as long as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// Which.
    pub id: String,
    /// Whom it covers; null: everybody.
    pub person: Option<String>,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct HoldRow {
    id: String,
    person: Option<String>,
    made_by: String,
    made_at: i64,
}

/// Before when entries have to be to be forgotten. Only who is deactivated for that long can be.
///
/// # Errors
/// `not-found`; `conflict` where she is not deactivated, not long enough, or under a hold.
pub async fn may_be_forgotten(
    work: &mut Work<'_>,
    person: PersonId,
    retention: Duration,
) -> Result<Timestamp> {
    refuse_held(work, person).await?;
    let found: Option<(String, i64)> = work
        .fetch_optional(sql("SELECT status, status_since FROM people WHERE id = $1").bind(person))
        .await?;
    let (status, since) = found.ok_or_else(|| Problem::not_found(format!("nobody here is {person}")))?;
    if status != "deactivated" {
        return Err(Problem::conflict(format!("{person} is {status}: only who left can be forgotten"))
            .remedy("`portctl person deactivate` takes everything from her first."));
    }
    let age = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_millis(work.now().as_millis().saturating_sub(age));
    if since > before.as_millis() {
        let from = Timestamp::from_millis(since.saturating_add(age));
        return Err(Problem::conflict(format!(
            "what is recorded of {person} is kept until {from}: `[log] retention`"
        ))
        .remedy("Forget her then.")
        .with("from", from.to_string()));
    }
    Ok(before)
}

async fn refuse_held(work: &mut Work<'_>, person: PersonId) -> Result<()> {
    let held: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM holds WHERE released_at IS NULL AND (person IS NULL OR person = $1) \
                 ORDER BY id LIMIT 1")
            .bind(person),
        )
        .await?;
    held.map_or(Ok(()), |(id,)| {
        Err(Problem::conflict(format!("the hold {id} keeps everything about {person} as it is"))
            .remedy(format!("Whoever made it says when it may go: `portctl audit hold release {id}`."))
            .with("hold", id))
    })
}

/// Makes and releases holds. Cheap to clone.
#[derive(Clone)]
pub struct Holds {
    database: Database,
    log: Log,
}

impl Holds {
    /// Those of this database.
    #[must_use]
    pub fn new(database: Database, log: Log) -> Self {
        Self { database, log }
    }

    /// Lets nothing be forgotten, of one person or of everybody.
    ///
    /// # Errors
    /// `invalid-request` without a reason; what recording answers.
    pub async fn hold(&self, permit: Permit, person: Option<PersonId>, reason: &str) -> Result<HoldId> {
        permit.expect(Action::Forget)?;
        wants_reason(reason)?;
        self.log.perform(Make { permit, person, reason: reason.to_owned() }).await
    }

    /// Ends a hold.
    ///
    /// # Errors
    /// `not-found`; `conflict` where it was released before; `invalid-request` without a reason.
    pub async fn release(&self, permit: Permit, hold: HoldId, reason: &str) -> Result<()> {
        permit.expect(Action::Forget)?;
        wants_reason(reason)?;
        self.log.perform(Release { permit, hold, reason: reason.to_owned() }).await
    }

    /// Those that stand, the oldest first; a thousand at most.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn standing(&self, permit: &Permit) -> Result<Vec<Hold>> {
        permit.expect(Action::ReadLog)?;
        let rows: Vec<HoldRow> = self
            .database
            .fetch_all(
                sql("SELECT id, person, made_by, made_at FROM holds WHERE released_at IS NULL \
                     ORDER BY made_at, id LIMIT $1")
                .bind(MOST_HOLDS),
            )
            .await?;
        let hold = |row: HoldRow| Hold {
            id: row.id,
            person: row.person,
            made_by: row.made_by,
            made_at: Timestamp::from_millis(row.made_at),
        };
        Ok(rows.into_iter().map(hold).collect())
    }
}

/// Why is asked for.
///
/// # Errors
/// `invalid-request` where nothing is said.
pub fn wants_reason(reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Problem::invalid("a reason is wanted").remedy("Add `--reason \"…\"`."));
    }
    Ok(())
}

struct Make {
    permit: Permit,
    person: Option<PersonId>,
    reason: String,
}

#[async_trait]
impl Unit for Make {
    type Output = HoldId;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<HoldId> {
        let (id, now): (HoldId, _) = (work.ambient().id(), work.now());
        let person = self.person.map(|person| person.to_string());
        work.execute(
            sql("INSERT INTO holds (id, person, made_by, made_at) VALUES ($1, $2, $3, $4)")
                .bind(id)
                .bind(person)
                .bind(self.permit.principal().to_string())
                .bind(now),
        )
        .await?;
        let draft = Draft::act("log.held").resource(id).reason(&self.reason);
        work.record(match self.person {
            Some(person) => draft.subject(person),
            None => draft.with("covers", "all"),
        });
        Ok(id)
    }
}

struct Release {
    permit: Permit,
    hold: HoldId,
    reason: String,
}

#[async_trait]
impl Unit for Release {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let found: Option<(Option<String>, Option<i64>)> = work
            .fetch_optional(sql("SELECT person, released_at FROM holds WHERE id = $1").bind(self.hold))
            .await?;
        let (person, released) =
            found.ok_or_else(|| Problem::not_found(format!("there is no hold {}", self.hold)))?;
        if released.is_some() {
            return Err(Problem::conflict(format!("the hold {} was released before", self.hold)));
        }
        let now = work.now();
        work.execute(sql("UPDATE holds SET released_at = $2 WHERE id = $1").bind(self.hold).bind(now))
            .await?;
        let draft = Draft::act("log.released").resource(self.hold).reason(&self.reason);
        let person = person.as_deref().map(str::parse).transpose().map_err(Problem::internal)?;
        work.record(match person {
            Some(person) => draft.subject(person),
            None => draft.with("covers", "all"),
        });
        Ok(())
    }
}
