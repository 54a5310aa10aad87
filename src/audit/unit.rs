//! Units of work: re-runnable closures over the database alone.

use std::net::IpAddr;

use async_trait::async_trait;

use super::entry::{Draft, EntryKind};
use crate::{
    base::{
        Ambient, Name, Problem, Result, Timestamp,
        ids::{GrantId, IntentId},
    },
    policy::{Denial, Permit, Principal},
    store::{Query, Row, StoreError, WriteTx, sql},
};

/// What a unit acts under.
#[derive(Clone, Copy, Debug)]
pub enum Authority<'a> {
    /// Policy said yes.
    Permit(&'a Permit),
    /// Policy said no, and that is to be recorded.
    Denial(&'a Denial),
}

impl Authority<'_> {
    /// Whoever acts.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        match self {
            Self::Permit(permit) => permit.principal(),
            Self::Denial(denial) => denial.principal(),
        }
    }

    pub(super) fn scope(&self) -> Option<&Name> {
        match self {
            Self::Permit(permit) => permit.scope(),
            Self::Denial(denial) => denial.scope(),
        }
    }

    pub(super) fn grant(&self) -> Option<GrantId> {
        match self {
            Self::Permit(permit) => permit.grant(),
            Self::Denial(_) => None,
        }
    }

    pub(super) fn network(&self) -> Option<IpAddr> {
        match self {
            Self::Permit(permit) => permit.network(),
            Self::Denial(denial) => denial.network(),
        }
    }
}

/// A re-runnable closure over the database alone. It changes rows and yields its entries, or refuses.
///
/// `run` may be called more than once, and what it did is undone before it is called again; so it
/// takes `&self`, and nothing but the database is awaited in it. Before each call the facts that its
/// permit rests on are read again.
#[async_trait]
pub trait Unit: Send + Sync + 'static {
    /// What the caller gets once it is committed.
    type Output: Send + 'static;

    /// What it acts under.
    fn authority(&self) -> Authority<'_>;

    /// Does the work.
    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output>;
}

/// Reads again, inside the transaction, the facts that a permit rests on. `access` implements it.
#[async_trait]
pub trait FactsOfNow: Send + Sync {
    /// Refuses with `facts-changed` where one of them has moved since, or has run out at `now`.
    async fn confirm(&self, tx: &mut WriteTx, permit: &Permit, now: Timestamp) -> Result<()>;
}

/// What came of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentOutcome {
    /// It was done.
    Done,
    /// It was not done, and that is known.
    Failed,
    /// Whether it was done is not known; the room that owns it looks.
    Unknown,
}

impl IntentOutcome {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What a unit of work sees: the transaction, the time, and the entries that it drafts.
pub struct Work<'t> {
    tx: &'t mut WriteTx,
    ambient: &'t Ambient,
    now: Timestamp,
    /// Where in the log the first entry of this unit will stand.
    first: u64,
    pub(super) drafts: Vec<Draft>,
    /// What the database failed with, where that is no fault of the unit, whatever it made of it.
    pub(super) failure: Option<StoreError>,
}

impl<'t> Work<'t> {
    pub(super) fn new(tx: &'t mut WriteTx, ambient: &'t Ambient, now: Timestamp, first: u64) -> Self {
        Self { tx, ambient, now, first, drafts: Vec::new(), failure: None }
    }

    /// The time of this unit: never before that of an entry that stands earlier in the log.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Time and chance, for ids and salts.
    #[must_use]
    pub fn ambient(&self) -> &Ambient {
        self.ambient
    }

    /// Runs a statement; how many rows it touched.
    ///
    /// # Errors
    /// `already-exists` for a key that is there, else a problem of the database.
    pub async fn execute(&mut self, query: Query) -> Result<u64> {
        let outcome = self.tx.execute(query).await;
        self.note(outcome)
    }

    /// All rows.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn fetch_all<T: Row>(&mut self, query: Query) -> Result<Vec<T>> {
        let outcome = self.tx.fetch_all(query).await;
        self.note(outcome)
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn fetch_optional<T: Row>(&mut self, query: Query) -> Result<Option<T>> {
        let outcome = self.tx.fetch_optional(query).await;
        self.note(outcome)
    }

    fn note<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T> {
        if let Err(error @ (StoreError::Unavailable(_) | StoreError::NoRoom(_) | StoreError::Broken(_))) =
            &outcome
        {
            self.failure = Some(error.clone());
        }
        Ok(outcome?)
    }

    /// Where in the log the entry will stand that is drafted next.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.first + self.drafts.len() as u64
    }

    /// Drafts an entry. A unit that succeeds has drafted at least one.
    pub fn record(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    /// Notes what is about to be done outside the database, with its entry. `body` is what recovery
    /// needs to find out whether it was done: never a value. `draft` says what it is for.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn open_intent(
        &mut self,
        room: &str,
        subject: &str,
        body: &serde_json::Value,
        draft: Draft,
    ) -> Result<IntentId> {
        let id: IntentId = self.ambient.id();
        self.execute(
            sql("INSERT INTO intents (id, room, subject, body, state, opened_at) VALUES ($1, $2, $3, $4, 'open', $5)")
                .bind(id)
                .bind(room)
                .bind(subject)
                .bind(body.to_string())
                .bind(self.now),
        )
        .await?;
        self.record(Draft { kind: EntryKind::Intent, ..draft.with("intent", id.to_string()) });
        Ok(id)
    }

    /// Notes what came of an intent, with its entry. An unknown one can be closed again once known.
    ///
    /// # Errors
    /// `conflict` where it is closed already.
    pub async fn close_intent(&mut self, id: IntentId, outcome: IntentOutcome, draft: Draft) -> Result<()> {
        let touched = self
            .execute(
                sql("UPDATE intents SET state = $2, closed_at = $3 WHERE id = $1 AND state IN ('open', 'unknown')")
                    .bind(id)
                    .bind(outcome.as_str())
                    .bind(self.now),
            )
            .await?;
        if touched == 0 {
            return Err(Problem::conflict(format!("the intent {id} is closed already")));
        }
        let draft = draft.with("intent", id.to_string()).with("outcome", outcome.as_str());
        self.record(Draft { kind: EntryKind::Outcome, ..draft });
        Ok(())
    }
}
