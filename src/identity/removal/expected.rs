//! Removals that are announced, so that the breaker lets them pass.

use async_trait::async_trait;

use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Problem, Result, Timestamp, ids::ExpectationId},
    identity::{Identity, caller::stored_id},
    policy::{Action, Permit},
    store::sql,
};

/// The most that can be announced at once: a slip of the finger should not switch the breaker off.
const MOST: u32 = 100_000;

/// So many people are going to be removed.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// How many.
    pub number: u32,
    /// Until when it counts.
    pub until: Timestamp,
    /// By which connection; nothing: by any.
    pub connection: Option<Name>,
    /// Why.
    pub reason: String,
}

/// An announcement as it stands.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Which.
    pub id: ExpectationId,
    /// By which connection; nothing: by any.
    pub connection: Option<String>,
    /// How many.
    pub number: i64,
    /// How many of them have passed.
    pub used: i64,
    /// Until when it counts.
    pub until: Timestamp,
    /// Who announced it.
    pub by: String,
    /// Why.
    pub reason: String,
}

#[derive(sqlx::FromRow)]
struct ExpectedRow {
    id: String,
    connection: Option<String>,
    number: i64,
    used: i64,
    until: i64,
    by_whom: String,
    reason: String,
}

impl Identity {
    /// Announces removals: so many pass, beyond what passes by itself.
    ///
    /// # Errors
    /// `invalid-request` without a number or a reason, or where it would end before it began.
    pub async fn expect_removals(&self, permit: Permit, what: Announcement) -> Result<ExpectationId> {
        permit.expect(Action::ManagePeople)?;
        if what.reason.trim().is_empty() {
            return Err(Problem::invalid("a reason is wanted").remedy("Add `--reason \"…\"`."));
        }
        if what.number == 0 || what.number > MOST {
            return Err(Problem::invalid(format!("the number of removals is between 1 and {MOST}")));
        }
        if what.until <= self.ambient.now() {
            return Err(Problem::invalid("it would end before it began").remedy("Name a later `--until`."));
        }
        self.log.perform(Expect { permit, what }).await
    }

    /// Announcements that still count, the earliest to end first.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn expected_removals(&self, permit: &Permit) -> Result<Vec<Expected>> {
        permit.expect(Action::SeePeople)?;
        let rows: Vec<ExpectedRow> = self
            .database
            .fetch_all(
                sql("SELECT id, connection, number, used, until, by_whom, reason FROM expected_removals \
                     WHERE until > $1 AND used < number ORDER BY until, id LIMIT 500")
                .bind(self.ambient.now()),
            )
            .await?;
        rows.into_iter().map(Expected::try_from).collect()
    }
}

impl TryFrom<ExpectedRow> for Expected {
    type Error = Problem;

    fn try_from(row: ExpectedRow) -> Result<Self> {
        Ok(Self {
            id: stored_id(&row.id)?,
            connection: row.connection,
            number: row.number,
            used: row.used,
            until: Timestamp::from_millis(row.until),
            by: row.by_whom,
            reason: row.reason,
        })
    }
}

struct Expect {
    permit: Permit,
    what: Announcement,
}

#[async_trait]
impl Unit for Expect {
    type Output = ExpectationId;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<ExpectationId> {
        let id: ExpectationId = work.ambient().id();
        let what = &self.what;
        work.execute(
            sql("INSERT INTO expected_removals (id, connection, number, used, until, by_whom, reason, created_at) \
                 VALUES ($1, $2, $3, 0, $4, $5, $6, $7)")
            .bind(id)
            .bind(what.connection.clone())
            .bind(i64::from(what.number))
            .bind(what.until)
            .bind(self.permit.principal().to_string())
            .bind(&what.reason)
            .bind(work.now()),
        )
        .await?;
        work.record(
            Draft::act("removal.expected")
                .resource(id)
                .reason(&what.reason)
                .with("number", what.number)
                .with("until", what.until.to_string())
                .with("connection", what.connection.as_ref().map(ToString::to_string)),
        );
        Ok(id)
    }
}
