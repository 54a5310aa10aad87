//! Appending: the one writer of a process.

mod denials;
mod growth;
mod job;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use denials::Denials;
use job::Job;
use tokio::sync::{mpsc, oneshot, watch};
use writer::{Message, Writer};

use super::{
    Edge, Hash,
    claim::{Claim, Claimed},
    unit::{FactsOfNow, Unit},
};
use crate::{
    base::{Ambient, Problem, ProblemKind, Result, Timestamp},
    policy::Denial,
    store::{Database, StoreError, sql},
};

/// How long an act waits for the log before it ends in `not-recorded` or `outcome-unknown`.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many units may wait before further ones are refused.
const LONGEST_QUEUE: usize = 8192;
/// How often collapsed denials are looked at.
const COUNTS_EVERY: Duration = Duration::from_secs(10);
/// What the process ends with where the disk failed under the database: EX_IOERR of sysexits.h.
const DISK_FAILED: i32 = 74;

/// How far the log has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// Time of the newest entry.
    pub time: Timestamp,
}

/// The log of this database. Cheap to clone; all clones share one writer.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    queue: mpsc::Sender<Message>,
    head: watch::Receiver<Head>,
    denials: Denials,
    stopping: AtomicBool,
    /// Why it is not certain that it goes on from what was signed before.
    doubt: Mutex<Option<Problem>>,
    ambient: Ambient,
    database: Database,
}

/// What is done where the disk could not say whether it has what was written. It is not expected to
/// return: going on would be pretending.
pub type OnBrokenDisk = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// Says so, and ends the process.
fn end_the_process(error: &StoreError) {
    tracing::error!(%error, "ending: what the database holds is no longer certain");
    std::process::exit(DISK_FAILED);
}

fn not_recorded(why: impl std::fmt::Display) -> Problem {
    Problem::new(
        ProblemKind::NotRecorded,
        format!("nothing happened, because it could not be recorded: {why}"),
    )
    .remedy("Try again; `port-control check` says what is wrong with the database.")
}

fn outcome_unknown() -> Problem {
    Problem::new(ProblemKind::OutcomeUnknown, "the database did not say in time whether it recorded this")
        .remedy("Repeat it with the same Idempotency-Key: it is answered from what is found.")
}

impl Log {
    /// Opens the log of `database`, beginning an empty one where there is none, and starts its writer.
    /// A disk that fails under the database ends the process.
    ///
    /// # Errors
    /// `log-altered` where the stored head does not fit itself; else a problem of the database.
    pub async fn open(database: Database, ambient: Ambient, facts: Arc<dyn FactsOfNow>) -> Result<Self> {
        Self::open_with(database, ambient, facts, Arc::new(end_the_process)).await
    }

    /// As [`Self::open`], with something else to do where the disk fails.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(
        database: Database,
        ambient: Ambient,
        facts: Arc<dyn FactsOfNow>,
        broken: OnBrokenDisk,
    ) -> Result<Self> {
        let empty = Head { size: 0, root: Edge::empty().root(), time: Timestamp::EPOCH };
        let head = watch::Sender::new(empty);
        let mut writer = Writer::new(database.clone(), ambient.clone(), facts, broken, head.clone());
        writer.begin().await?;
        let (queue, messages) = mpsc::channel(LONGEST_QUEUE);
        let shared = Arc::new(Shared {
            queue,
            head: head.subscribe(),
            denials: Denials::default(),
            stopping: AtomicBool::new(false),
            doubt: Mutex::default(),
            ambient,
            database: database.clone(),
        });
        tokio::spawn(writer.write(messages));
        tokio::spawn(growth::follow(database, head));
        tokio::spawn(count_denials(Arc::downgrade(&shared)));
        Ok(Self(shared))
    }

    /// Does a unit of work: commits what it changed together with its entries, or nothing. Where the task
    /// works under a [`Claim`], that commits with it, too.
    ///
    /// # Errors
    /// What the unit refuses with; `facts-changed` where what its permit rests on has moved;
    /// `not-recorded` or `outcome-unknown` within two seconds where the log cannot take it.
    pub async fn perform<U: Unit>(&self, unit: U) -> Result<U::Output> {
        match Claim::of_now() {
            Some(claim) => self.commit(Claimed { unit, claim }).await,
            None => self.commit(unit).await,
        }
    }

    async fn commit<U: Unit>(&self, unit: U) -> Result<U::Output> {
        if self.0.stopping.load(Ordering::SeqCst) {
            return Err(not_recorded("the server is stopping"));
        }
        self.refuse_in_doubt()?;
        let (job, answer, state) = Job::new(unit);
        let queued = self.0.queue.try_send(Message::Job(job));
        queued.map_err(|_| not_recorded("too much is waiting for the log"))?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(output)) => output,
            Ok(Err(_)) | Err(_) if state.give_up() => {
                Err(not_recorded("the database does not answer in time"))
            }
            Ok(Err(_)) | Err(_) => Err(outcome_unknown()),
        }
    }

    /// Records a denial, and hands it back as the problem that the caller gets. Whoever is refused the
    /// same over and over is recorded by a count.
    pub async fn deny(&self, denial: Denial) -> Problem {
        let problem = denial.to_problem();
        let Some(unit) = self.0.denials.admit(denial, self.0.ambient.now()) else { return problem };
        // Being refused uses no key up.
        match self.commit(unit).await {
            Ok(()) => problem,
            Err(unrecorded) => unrecorded,
        }
    }

    /// How far the log has come, as this process knows it.
    #[must_use]
    pub fn head(&self) -> Head {
        self.0.head.borrow().clone()
    }

    /// The time by its clock.
    #[must_use]
    pub(super) fn now(&self) -> Timestamp {
        self.0.ambient.now()
    }

    /// Whether it can go on: its writer works, and the head in the database fits itself and is no older
    /// than what this process has seen.
    ///
    /// # Errors
    /// `not-recorded` where the writer has stopped; `log-altered`; `database-unavailable`.
    pub async fn check(&self) -> Result<()> {
        if self.0.queue.is_closed() || self.0.stopping.load(Ordering::SeqCst) {
            return Err(not_recorded("the log's writer has stopped"));
        }
        self.refuse_in_doubt()?;
        let known = self.head();
        let row =
            self.0.database.fetch_optional(sql("SELECT size, root, edge, time FROM log_head WHERE id = 1"));
        let altered = |why: &str| Problem::new(ProblemKind::LogAltered, why);
        let row = row.await?.ok_or_else(|| altered("the log has lost its head row"))?;
        let (_, found) = rows::check_head(&row)?;
        let is_it = found.size > known.size || (found.size == known.size && found.root == known.root);
        if is_it { Ok(()) } else { Err(altered("the log is not the one that was seen before")) }
    }

    /// Refuses everything from now on, because it is not certain that the log goes on from what was signed
    /// before; or nothing any more.
    pub(super) fn doubt(&self, why: Option<Problem>) {
        *self.0.doubt.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    fn refuse_in_doubt(&self) -> Result<()> {
        match self.0.doubt.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            None => Ok(()),
            Some(why) if why.is(ProblemKind::InvalidConfiguration) => Err(not_recorded(&why.detail)),
            Some(why) => Err(why.clone()),
        }
    }

    /// Tells whenever the log has grown, also by the work of other replicas.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.0.head.clone()
    }

    /// Refuses what comes from now on, and returns when all that waits has been answered. For the end of
    /// the process.
    pub async fn drain(&self) {
        self.record_counts(None).await;
        self.0.stopping.store(true, Ordering::SeqCst);
        let (done, drained) = oneshot::channel();
        if self.0.queue.send(Message::Drain(done)).await.is_ok() {
            // The writer ends only with the process.
            drop(drained.await);
        }
    }

    async fn record_counts(&self, now: Option<Timestamp>) {
        for unit in self.0.denials.over(now) {
            if let Err(problem) = self.perform(unit).await {
                tracing::warn!(%problem, "a count of denials was not recorded");
            }
        }
    }
}

/// Records the counts of collapsed denials, as long as there is a log.
async fn count_denials(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(COUNTS_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        let now = shared.ambient.now();
        Log(shared).record_counts(Some(now)).await;
    }
}
