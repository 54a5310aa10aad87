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
    /// `invalid-request` without a number or a reason, where it would end before it began, or for a connection
    /// that is not in use.
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

    /// Takes an announcement back: what has not passed by now is not let through.
    ///
    /// # Errors
    /// `not-found`; `conflict` where it counts no more; `invalid-request` without a reason.
    pub async fn withdraw_expected(&self, permit: Permit, id: ExpectationId, reason: &str) -> Result<()> {
        permit.expect(Action::ManagePeople)?;
        if reason.trim().is_empty() {
            return Err(Problem::invalid("a reason is wanted").remedy("Add `--reason \"…\"`."));
        }
        self.log.perform(Withdraw { permit, id, reason: reason.to_owned() }).await
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
                     WHERE until > $1 AND used < number AND withdrawn_at IS NULL ORDER BY until, id LIMIT 500")
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
        if let Some(connection) = &what.connection {
            check_in_use(work, connection).await?;
        }
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

/// Refuses a connection by which nobody is removed: whoever announces by a slip of the pen waits in vain.
async fn check_in_use(work: &mut Work<'_>, connection: &Name) -> Result<()> {
    let there: Vec<(String,)> = work
        .fetch_all(sql("SELECT name FROM scim_connections WHERE disabled_at IS NULL ORDER BY name"))
        .await?;
    let names: Vec<&str> = there.iter().map(|(name,)| name.as_str()).collect();
    if names.contains(&connection.as_str()) {
        return Ok(());
    }
    let remedy = match names.as_slice() {
        [] => "None is: leave `--connection` out, and it counts for any.".to_owned(),
        names => format!("Those that are: {}.", names.join(", ")),
    };
    Err(Problem::invalid(format!("no connection '{connection}' is in use")).remedy(remedy))
}

struct Withdraw {
    permit: Permit,
    id: ExpectationId,
    reason: String,
}

#[async_trait]
impl Unit for Withdraw {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let found: Option<(i64, i64, i64)> = work
            .fetch_optional(
                sql("SELECT number, used, CAST(CASE WHEN withdrawn_at IS NULL AND used < number AND until > $2 \
                     THEN 1 ELSE 0 END AS BIGINT) FROM expected_removals WHERE id = $1")
                .bind(self.id)
                .bind(work.now()),
            )
            .await?;
        let remedy = "`portctl leaver held` shows what is announced.";
        let (number, used, counts) = found.ok_or_else(|| {
            Problem::not_found(format!("nothing is announced as {}", self.id)).remedy(remedy)
        })?;
        if counts == 0 {
            return Err(Problem::conflict(format!("{} counts no more", self.id)).remedy(remedy));
        }
        work.execute(
            sql("UPDATE expected_removals SET withdrawn_at = $2 WHERE id = $1")
                .bind(self.id)
                .bind(work.now()),
        )
        .await?;
        work.record(
            Draft::act("removal.unexpected")
                .resource(self.id)
                .reason(&self.reason)
                .with("number", number)
                .with("used", used),
        );
        Ok(())
    }
}
