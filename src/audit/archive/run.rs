//! Moving: range after range, by one replica at a time, and whatever was begun is brought to its end first.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Archive, ArchivedRange,
    plan::{Plan, holds},
    units::{self, BeginMoving, Begun, GiveUp, Move},
    write::Copy,
};
use crate::{
    audit::{
        Log, VerifierKey,
        outward::{Turn, pause},
        verifiers,
    },
    base::{Ambient, Problem, ProblemKind, Result, ids::IntentId},
    keys::Keys,
    policy::{Action, Permit, Resource, Service, ServicePermits},
    store::Database,
};

/// How long nothing is looked at where there is nothing to move.
const LOOK_EVERY: Duration = Duration::from_mins(10);
/// The pause after the first failure, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(10));
/// How long a replica has the turn after each range.
const TURN: Duration = Duration::from_mins(5);
/// Whose turn it is to move entries.
const MOVING: &str = "archive";

/// What an archivist is made of.
pub struct ArchivistParts {
    /// Where entries are moved from.
    pub database: Database,
    /// Where it is recorded.
    pub log: Log,
    /// Time and chance.
    pub ambient: Ambient,
    /// Where its permits come from.
    pub permits: Arc<dyn ServicePermits>,
    /// What the log is signed with.
    pub keys: Keys,
    /// The log's name.
    pub origin: String,
    /// Where entries are moved to.
    pub archive: Archive,
    /// How old they have to be.
    pub after: Duration,
}

/// Moves old entries to the archive, and destroys openings there. Cheap to clone.
#[derive(Clone)]
pub struct Archivist(pub(super) Arc<ArchivistParts>);

/// What a step has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// Entries were moved, or what was begun came to its end; there may be more.
    Done,
    /// Nothing is old enough and free.
    Nothing,
    /// Another replica's turn.
    NotOurs,
}

impl Archivist {
    /// An archivist; nothing is done yet.
    #[must_use]
    pub fn new(parts: ArchivistParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Where it moves entries to.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.0.archive
    }

    /// Moves what is old enough, until `stop`. What is under way then is brought to its end by whoever goes
    /// on.
    pub async fn run(self, stop: CancellationToken) {
        let turn = self.turn(MOVING);
        let mut failures = 0;
        loop {
            let stepped = tokio::select! {
                () = stop.cancelled() => break,
                stepped = self.step_by(&turn) => stepped,
            };
            turn.give_back(&self.0.database).await;
            let sleep = match stepped {
                Ok(Stepped::Done) => {
                    failures = 0;
                    continue;
                }
                Ok(_) => LOOK_EVERY,
                Err(problem) => {
                    failures += 1;
                    metrics::counter!("port_control_archive_failures_total").increment(1);
                    tracing::warn!(%problem, "entries were not archived; it is tried again");
                    pause(&self.0.ambient, failures, PAUSES.0, PAUSES.1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(sleep) => {}
            }
        }
        turn.give_back(&self.0.database).await;
    }

    /// Tries the archive: writes, reads and deletes.
    ///
    /// # Errors
    /// `archive-unavailable`.
    pub async fn check(&self) -> Result<String> {
        self.0.archive.check().await?;
        Ok("written to, read from and deleted from".to_owned())
    }

    /// Moves the next range, or brings to its end what was begun.
    ///
    /// # Errors
    /// `archive-unavailable`; `log-altered` where an entry does not fit what lies beside it; `conflict` where
    /// something came in between; what recording answers. Whatever it was: called again, it goes on.
    pub async fn step(&self) -> Result<Stepped> {
        let turn = self.turn(MOVING);
        let stepped = self.step_by(&turn).await;
        turn.give_back(&self.0.database).await;
        stepped
    }

    pub(super) fn turn(&self, name: &str) -> Turn {
        Turn::new(name.to_owned(), self.0.ambient.uuid().to_string(), TURN)
    }

    pub(super) fn permit(&self) -> Result<Permit> {
        self.0.permits.permit(Service::Archivist, Action::Archive, Resource::Log)
    }

    pub(super) async fn verifiers(&self) -> Result<Vec<VerifierKey>> {
        verifiers(&self.0.keys, &self.0.origin).await
    }

    pub(super) fn copy<'a>(&'a self, keys: &'a [VerifierKey]) -> Copy<'a> {
        Copy { database: &self.0.database, archive: &self.0.archive, keys }
    }

    async fn step_by(&self, turn: &Turn) -> Result<Stepped> {
        if !turn.take(&self.0.database, &self.0.ambient).await? {
            return Ok(Stepped::NotOurs);
        }
        if let Some(begun) = units::open(&self.0.database).await?.into_iter().next() {
            match begun.begun {
                Begun::Moving { from, to, archive } => self.go_on(begun.id, (from, to), &archive).await?,
                forgetting @ Begun::Forgetting { .. } => self.end_forgetting(begun.id, forgetting).await?,
            }
            return Ok(Stepped::Done);
        }
        let holds = holds(&self.0.database).await?;
        let before = self.0.ambient.now().before(self.0.after);
        let plan = Plan { database: &self.0.database, before, holds: &holds };
        let Some(range) = plan.next().await? else { return Ok(Stepped::Nothing) };
        let archive = self.0.archive.name().to_owned();
        let begin = BeginMoving { permit: self.permit()?, range, archive: archive.clone() };
        let intent = self.0.log.perform(begin).await?;
        self.go_on(intent, range, &archive).await?;
        Ok(Stepped::Done)
    }

    /// Brings a range to its end that was begun: copies, verifies, and takes its rows; or, where it is under
    /// a hold by now, takes the copy away.
    async fn go_on(&self, intent: IntentId, range: (u64, u64), archive: &str) -> Result<()> {
        if archive != self.0.archive.name() {
            let detail = format!(
                "entries {} to {} were on their way to the archive {archive}, which is not the one that is set",
                range.0,
                range.1 - 1
            );
            return Err(Problem::new(ProblemKind::ArchiveUnavailable, detail)
                .remedy("Name that one until they are there: `[log.archive] to`."));
        }
        let holds = holds(&self.0.database).await?;
        let before = self.0.ambient.now();
        let is_free = Plan { database: &self.0.database, before, holds: &holds }.is_free(range).await?;
        let keys = self.verifiers().await?;
        if !is_free {
            self.copy(&keys).discard(range).await?;
            let give_up = GiveUp { permit: self.permit()?, intent, range, archive: archive.to_owned() };
            return self.0.log.perform(give_up).await;
        }
        // Asked for first: what is forgotten from here on may not be in the copy.
        let size = self.size().await?;
        let copied = self.copy(&keys).run(range).await?;
        let (from, to) = range;
        let (oldest, newest) = copied.times;
        let moving = Move {
            permit: self.permit()?,
            intent,
            range: ArchivedRange { from, to, archive: archive.to_owned(), oldest, newest },
            root: copied.root,
            holds: holds.into_iter().map(|hold| hold.id).collect(),
            size,
        };
        self.0.log.perform(moving).await?;
        metrics::counter!("port_control_archived_entries_total").increment(to - from);
        tracing::info!(from, to, archive, "entries were moved to the archive");
        Ok(())
    }

    /// How large the log is in the database, whichever replica appended.
    pub(super) async fn size(&self) -> Result<u64> {
        let query = crate::store::sql("SELECT size FROM log_head WHERE id = 1");
        let found: Option<(i64,)> = self.0.database.fetch_optional(query).await?;
        Ok(found.map_or(0, |(size,)| size.unsigned_abs()))
    }
}
