//! What is half done at the engine, looked at again and again (invariant 6): leases that are to be taken back,
//! and those that were being issued when somebody stopped.

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{
    Lease, LeaseState, Leases, ROOM, draft, no_such,
    revoke::end_lease,
    rows::{self, LeaseRow},
};
use crate::{
    audit::{Authority, IntentOutcome, Unit, Work},
    base::{
        Problem, ProblemKind, Result,
        ids::{IntentId, LeaseId},
    },
    policy::Permit,
    store::sql,
};

/// What is younger may still be under way: issuing ends earlier, one way or the other.
const UNDER_WAY: Duration = Duration::from_secs(30);
/// Longest time between two looks, at rest and while something is left.
const AT_REST: Duration = Duration::from_secs(15);
const WHILE_LEFT: Duration = Duration::from_millis(500);
/// Shortest time between two looks, so that a busy log does not make this busy.
const SHORTEST: Duration = Duration::from_millis(100);
/// After how long what failed is tried again, the first time and at the longest.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_AT_LAST: Duration = Duration::from_secs(15);
/// How many are taken back at once.
const AT_ONCE: usize = 16;

impl Leases {
    /// Looks again and again until `stop`: woken by the log and by a timer.
    pub async fn run(self, stop: CancellationToken) {
        let mut log = self.it.log.watch();
        while !stop.is_cancelled() {
            log.borrow_and_update();
            let sleep = match self.look().await {
                Ok(0) => AT_REST,
                Ok(_) => WHILE_LEFT,
                Err(problem) => {
                    tracing::warn!(%problem, "leases that are to be taken back could not be looked at");
                    WHILE_LEFT
                }
            };
            tokio::time::sleep(SHORTEST).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(sleep) => {}
                _ = log.changed() => {}
            }
        }
    }

    /// Takes back whatever is to be taken back and due; how many are left.
    ///
    /// # Errors
    /// A problem of the database. What the engine says is noted beside each lease, and tried again.
    pub async fn look(&self) -> Result<usize> {
        if self.left().await? == 0 {
            return Ok(0);
        }
        let due = self.due().await?;
        stream::iter(due)
            .map(|lease| self.settle_or_note(lease))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        self.close_renewals().await?;
        self.left().await
    }

    /// How much is half done: one question, because this is asked whenever the log has grown.
    async fn left(&self) -> Result<usize> {
        let query = sql(
            "SELECT CAST((SELECT count(*) FROM leases WHERE state IN ('opening', 'revoking')) + \
             (SELECT count(*) FROM lease_accessors a JOIN leases l ON l.id = a.lease WHERE l.state = 'ended') + \
             (SELECT count(*) FROM intents i LEFT JOIN leases l ON l.intent = i.id \
              WHERE i.room = $1 AND i.state IN ('open', 'unknown') AND l.id IS NULL) AS BIGINT)",
        );
        let left: Option<(i64,)> = self.it.database.fetch_optional(query.bind(ROOM)).await?;
        Ok(left.and_then(|(left,)| usize::try_from(left).ok()).unwrap_or(0))
    }

    /// Those being taken back; those of which issuing stopped; and tokens of which it is not known whether they
    /// are gone, though their lease is over.
    async fn due(&self) -> Result<Vec<Lease>> {
        let now = self.it.ambient.now();
        let due = "(t.next_at IS NULL OR t.next_at <= $1) ORDER BY l.created_at LIMIT 256";
        let open = rows::leases(&format!(
            "WHERE (l.state = 'revoking' OR (l.state = 'opening' AND l.created_at <= $2)) AND {due}"
        ));
        let open = open.bind(now).bind(now.before(UNDER_WAY));
        let over =
            rows::leases(&format!("WHERE a.lease IS NOT NULL AND l.state = 'ended' AND {due}")).bind(now);
        let mut all: Vec<LeaseRow> = self.it.database.fetch_all(open).await?;
        all.extend(self.it.database.fetch_all::<LeaseRow>(over).await?);
        all.into_iter().map(Lease::try_from).collect()
    }

    /// At once, for whoever waits for it. What fails is tried again by itself.
    pub(super) async fn settle_now(&self, id: LeaseId) {
        match self.get(id).await {
            Ok(lease) => self.settle_or_note(lease).await,
            Err(problem) => tracing::warn!(%problem, lease = %id, "a lease is taken back later"),
        }
    }

    /// After issuing has failed: nobody has the credentials, and nobody is to have them.
    pub(super) async fn give_up(&self, id: LeaseId) {
        let noted = match self.get(id).await {
            // Its outcome was committed all the same, only that nobody was told of it.
            Ok(lease) if lease.state == LeaseState::Live => self.end_by_itself(&lease, "not-told").await,
            Ok(_) => Ok(()),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = noted {
            tracing::warn!(%problem, lease = %id, "a lease that nobody was told is taken back later");
        }
        self.settle_now(id).await;
    }

    /// Begins the end of a live lease that nobody asked to end.
    pub(super) async fn end_by_itself(&self, lease: &Lease, because: &'static str) -> Result<()> {
        let permit = self.permit_to_settle(lease)?;
        match self.it.log.perform(EndByItself { permit, id: lease.id, because }).await {
            // Somebody else was quicker.
            Err(problem) if problem.is(ProblemKind::Conflict) => Ok(()),
            outcome => outcome,
        }
    }

    async fn settle_or_note(&self, lease: Lease) {
        let (id, attempts) = (lease.id, lease.attempts);
        let outcome = self.settle(lease).await;
        let Err(problem) = outcome else { return };
        // Another replica was quicker.
        if problem.is(ProblemKind::Conflict) {
            return;
        }
        tracing::warn!(%problem, lease = %id, "a lease could not be taken back yet");
        if let Err(problem) = self.note_attempt(id, attempts + 1, &problem).await {
            tracing::warn!(%problem, lease = %id, "that a lease could not be taken back could not be noted");
        }
    }

    /// Takes it back at the engine, then notes that.
    async fn settle(&self, lease: Lease) -> Result<()> {
        if lease.state == LeaseState::Live {
            return Ok(());
        }
        if !lease.handle.is_empty() {
            self.engine()?.revoke(&lease.handle).await?;
        }
        let id = lease.id;
        if lease.state != LeaseState::Ended {
            let permit = self.permit_to_settle(&lease)?;
            self.it.log.perform(Settle { permit, lease }).await?;
        }
        self.forget_accessor(id).await
    }

    async fn forget_accessor(&self, id: LeaseId) -> Result<()> {
        let gone = sql("DELETE FROM lease_accessors WHERE lease = $1").bind(id);
        self.it.database.write_unrecorded("lease_accessors", gone).await?;
        let gone = sql("DELETE FROM lease_attempts WHERE lease = $1").bind(id);
        self.it.database.write_unrecorded("lease_attempts", gone).await?;
        Ok(())
    }

    async fn note_attempt(&self, id: LeaseId, attempts: i64, why: &Problem) -> Result<()> {
        let doubled = AGAIN * 2_u32.saturating_pow(u32::try_from(attempts - 1).unwrap_or(0).min(8));
        let next = self.it.ambient.now().after(doubled.min(AGAIN_AT_LAST));
        let query =
            sql("INSERT INTO lease_attempts (lease, attempts, next_at, detail) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (lease) DO UPDATE SET attempts = excluded.attempts, next_at = excluded.next_at, \
             detail = excluded.detail");
        let query = query.bind(id).bind(attempts).bind(next).bind(why.detail.as_str());
        self.it.database.write_unrecorded("lease_attempts", query).await?;
        Ok(())
    }

    /// Renewals whose outcome nobody noted: the end of before counts.
    async fn close_renewals(&self) -> Result<()> {
        let query = sql("SELECT i.id, i.subject FROM intents i LEFT JOIN leases l ON l.intent = i.id \
             WHERE i.room = $1 AND i.state IN ('open', 'unknown') AND i.opened_at <= $2 AND l.id IS NULL LIMIT 100");
        let before = self.it.ambient.now().before(UNDER_WAY);
        let rows: Vec<(String, String)> = self.it.database.fetch_all(query.bind(ROOM).bind(before)).await?;
        for (intent, lease) in rows {
            let unreadable = |_| Problem::internal("a stored intent of a lease cannot be read");
            let intent: IntentId = intent.parse().map_err(unreadable)?;
            let lease = self.get(lease.parse().map_err(unreadable)?).await?;
            let permit = self.permit_to_settle(&lease)?;
            match self.it.log.perform(NotRenewed { permit, lease, intent }).await {
                Err(problem) if !problem.is(ProblemKind::Conflict) => return Err(problem),
                _ => {}
            }
        }
        Ok(())
    }
}

/// That a lease is gone at the engine.
struct Settle {
    permit: Permit,
    lease: Lease,
}

#[async_trait]
impl Unit for Settle {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let Lease { id, state, .. } = self.lease;
        let (outcome, action) = match state {
            LeaseState::Opening => (IntentOutcome::Failed, "lease.not-issued"),
            _ => (IntentOutcome::Done, "lease.ended"),
        };
        let because = self.lease.because.as_deref().unwrap_or("not-issued");
        self.refuse_newer(work).await?;
        work.execute(
            sql(
                "UPDATE leases SET state = 'ended', intent = NULL, ended_at = $2, because = $3 WHERE id = $1",
            )
            .bind(id)
            .bind(work.now())
            .bind(because),
        )
        .await?;
        let intent = self.lease.intent.ok_or_else(|| Problem::internal("an open lease has an intent"))?;
        work.close_intent(intent, outcome, draft(action, &self.lease).with("because", because)).await
    }
}

impl Settle {
    /// What was taken back is what is there: in the meantime, a token may have been stored that was not.
    async fn refuse_newer(&self, work: &mut Work<'_>) -> Result<()> {
        let row: Option<LeaseRow> = work.fetch_optional(rows::lease(self.lease.id)).await?;
        let now = row.map(Lease::try_from).transpose()?.ok_or_else(|| no_such(self.lease.id))?;
        if now.state == self.lease.state && now.handle == self.lease.handle {
            return Ok(());
        }
        Err(Problem::conflict(format!("the lease {} is {} by now", now.id, now.state.as_str())))
    }
}

/// The end of a lease of which nobody was told, or whose holder has become another.
struct EndByItself {
    permit: Permit,
    id: LeaseId,
    because: &'static str,
}

#[async_trait]
impl Unit for EndByItself {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        end_lease(work, self.id, self.because).await
    }
}

/// A renewal that does not count.
struct NotRenewed {
    permit: Permit,
    lease: Lease,
    intent: IntentId,
}

#[async_trait]
impl Unit for NotRenewed {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let entry = draft("lease.renewed", &self.lease).with("ends_at", self.lease.ends_at.to_string());
        work.close_intent(self.intent, IntentOutcome::Failed, entry).await
    }
}
