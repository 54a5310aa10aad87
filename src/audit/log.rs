//! Appending: the one writer of a process.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Edge, Hash,
    entry::{Sealed, seal},
    tree::leaf_hash,
    unit::{Authority, FactsOfNow, RecordDenial, Unit, Work},
};
use crate::{
    base::{Ambient, Problem, ProblemKind, Result, Timestamp, ids::BatchId},
    policy::Denial,
    store::{Database, StoreError, WriteTx, exceptions::lock_head, sql},
};

/// How long an act waits for the log before it ends in `not-recorded` or `outcome-unknown`.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many units share a transaction at most.
const LARGEST_BATCH: usize = 1024;
/// How many units may wait before further ones are refused.
const LONGEST_QUEUE: usize = 8192;

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
pub struct Log {
    queue: mpsc::Sender<Job>,
    head: watch::Receiver<Head>,
}

/// A unit that waits. Its state settles whether it may still be given up.
struct Job {
    unit: Box<dyn Waiting>,
    state: Arc<AtomicU8>,
}

const WAITS: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// A unit without its output's type.
#[async_trait]
trait Waiting: Send {
    fn authority(&self) -> Authority<'_>;
    /// Runs it and keeps what it answers; whether it succeeded.
    async fn run(&mut self, work: &mut Work<'_>) -> Result<(), ()>;
    /// Keeps a refusal in place of an answer.
    fn refuse(&mut self, problem: Problem);
    /// Hands the answer over.
    fn answer(self: Box<Self>);
}

struct Held<U: Unit> {
    unit: U,
    output: Option<Result<U::Output>>,
    caller: oneshot::Sender<Result<U::Output>>,
}

#[async_trait]
impl<U: Unit> Waiting for Held<U> {
    fn authority(&self) -> Authority<'_> {
        self.unit.authority()
    }

    async fn run(&mut self, work: &mut Work<'_>) -> Result<(), ()> {
        // One unit that panics must not take those down that share its transaction.
        let output = AssertUnwindSafe(self.unit.run(work))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Problem::internal("a unit of work panicked; nothing was changed")));
        let succeeded = output.is_ok();
        self.output = Some(output);
        if succeeded { Ok(()) } else { Err(()) }
    }

    fn refuse(&mut self, problem: Problem) {
        self.output = Some(Err(problem));
    }

    fn answer(self: Box<Self>) {
        let output = self.output.unwrap_or_else(|| Err(not_recorded("it was not run")));
        // The caller may have gone; what is committed stays committed.
        let _ = self.caller.send(output);
    }
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
    ///
    /// # Errors
    /// `log-altered` where the stored head does not fit itself; else a problem of the database.
    pub async fn open(database: Database, ambient: Ambient, facts: Arc<dyn FactsOfNow>) -> Result<Self> {
        let mut writer = Writer { database, ambient, facts, head: watch::Sender::new(empty_head()) };
        let head = writer.begin().await?;
        writer.head.send_replace(head);
        let reader = writer.head.subscribe();
        let (queue, jobs) = mpsc::channel(LONGEST_QUEUE);
        tokio::spawn(writer.write(jobs));
        Ok(Self { queue, head: reader })
    }

    /// Does a unit of work: commits what it changed together with its entries, or nothing.
    ///
    /// # Errors
    /// What the unit refuses with; `facts-changed` where what its permit rests on has moved;
    /// `not-recorded` or `outcome-unknown` within two seconds where the log cannot take it.
    pub async fn perform<U: Unit>(&self, unit: U) -> Result<U::Output> {
        let (caller, answer) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(WAITS));
        let job = Job { unit: Box::new(Held { unit, output: None, caller }), state: Arc::clone(&state) };
        self.queue.try_send(job).map_err(|_| not_recorded("too much is waiting for the log"))?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(output)) => output,
            Ok(Err(_)) => Err(outcome_unknown()),
            Err(_) => {
                let given_up =
                    state.compare_exchange(WAITS, GIVEN_UP, Ordering::SeqCst, Ordering::SeqCst).is_ok();
                Err(if given_up { not_recorded("the database does not answer") } else { outcome_unknown() })
            }
        }
    }

    /// Records a denial, and hands it back as the problem that the caller gets.
    pub async fn deny(&self, denial: Denial) -> Problem {
        let problem = denial.to_problem();
        match self.perform(RecordDenial(denial)).await {
            Ok(()) => problem,
            Err(unrecorded) => unrecorded,
        }
    }

    /// How far the log has come, as this process knows it.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head.borrow().clone()
    }

    /// Tells whenever the log has grown.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }
}

fn empty_head() -> Head {
    Head { size: 0, root: Edge::empty().root(), time: Timestamp::EPOCH }
}

/// The writer's side.
struct Writer {
    database: Database,
    ambient: Ambient,
    facts: Arc<dyn FactsOfNow>,
    head: watch::Sender<Head>,
}

/// The head row.
#[derive(sqlx::FromRow)]
struct StoredHead {
    size: i64,
    root: Vec<u8>,
    edge: Vec<u8>,
    time: i64,
}

/// A transaction that came to nothing, and whether that is certain.
enum Failed {
    /// Nothing was committed.
    Nothing(Problem),
    /// The commit was sent and not answered.
    Unknown,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Nothing(not_recorded(error))
    }
}

impl Writer {
    /// Writes the head of an empty log where there is none; answers with the head.
    async fn begin(&mut self) -> Result<Head> {
        let mut tx = self.database.begin_write().await?;
        let empty = empty_head();
        tx.execute(
            sql("INSERT INTO log_head (id, size, root, edge, batch, time) VALUES (1, 0, $1, $2, '', 0) \
                 ON CONFLICT (id) DO NOTHING")
            .bind(empty.root)
            .bind(Vec::new()),
        )
        .await?;
        let (_, head) = read_head(&mut tx).await?;
        tx.commit().await?;
        Ok(head)
    }

    async fn write(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.recv().await {
            let mut batch = vec![first];
            while batch.len() < LARGEST_BATCH {
                match jobs.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
            self.settle(batch).await;
        }
    }

    /// Runs a batch to its end and answers everyone in it.
    async fn settle(&self, batch: Vec<Job>) {
        let mut batch: Vec<Job> = batch
            .into_iter()
            .filter(|job| {
                job.state.compare_exchange(WAITS, TAKEN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            })
            .collect();
        let id: BatchId = self.ambient.id();
        let outcome = match self.attempt(&mut batch, id).await {
            // A replica held the head for too long, or a deadlock was broken: the units run again.
            Err(Failed::Nothing(problem)) if self.database.kind() == crate::store::DatabaseKind::Postgres => {
                tracing::debug!(%problem, "a batch is tried again");
                self.attempt(&mut batch, id).await
            }
            outcome => outcome,
        };
        let outcome = match outcome {
            Err(Failed::Unknown) => self.look(id).await,
            outcome => outcome,
        };
        match outcome {
            Ok(head) => self.publish(head),
            Err(failed) => {
                for job in &mut batch {
                    job.unit.refuse(match &failed {
                        Failed::Nothing(problem) => problem.clone(),
                        Failed::Unknown => outcome_unknown(),
                    });
                }
            }
        }
        for job in batch {
            job.unit.answer();
        }
    }

    fn publish(&self, head: Head) {
        self.head.send_if_modified(|known| {
            let moved = head.size > known.size;
            if moved {
                *known = head;
            }
            moved
        });
    }

    /// One transaction: the units, each in a savepoint, then their entries, then one commit.
    async fn attempt(&self, batch: &mut [Job], id: BatchId) -> Result<Head, Failed> {
        let mut tx = self.database.begin_write().await?;
        lock_head(&mut tx).await?;
        let (mut edge, before) = read_head(&mut tx).await.map_err(Failed::Nothing)?;
        let now = self.ambient.now().max(before.time);
        let mut sealed = Vec::new();
        for job in batch.iter_mut() {
            sealed.extend(self.run_one(&mut tx, job, now).await?);
        }
        if sealed.is_empty() {
            return Ok(before);
        }
        let first = edge.size();
        for entry in &sealed {
            append(&mut tx, edge.size(), entry).await?;
            edge.push(leaf_hash(&entry.leaf));
        }
        let head = Head { size: edge.size(), root: edge.root(), time: now };
        move_head(&mut tx, &before, &head, &edge, id).await?;
        tx.execute(
            sql("INSERT INTO batches (id, first, size) VALUES ($1, $2, $3)")
                .bind(id)
                .bind(as_i64(first))
                .bind(as_i64(head.size - first)),
        )
        .await?;
        tx.commit().await.map_err(|_| Failed::Unknown)?;
        Ok(head)
    }

    /// Runs one unit in a savepoint. What it drafted, or nothing where it refused.
    async fn run_one(&self, tx: &mut WriteTx, job: &mut Job, now: Timestamp) -> Result<Vec<Sealed>, Failed> {
        tx.execute(sql("SAVEPOINT unit")).await?;
        let outcome = self.run_confirmed(tx, job, now).await;
        match outcome {
            Ok(sealed) => {
                tx.execute(sql("RELEASE SAVEPOINT unit")).await?;
                Ok(sealed)
            }
            Err(problem) => {
                if let Some(problem) = problem {
                    job.unit.refuse(problem);
                }
                tx.execute(sql("ROLLBACK TO SAVEPOINT unit")).await?;
                tx.execute(sql("RELEASE SAVEPOINT unit")).await?;
                Ok(Vec::new())
            }
        }
    }

    /// Reads the facts again, then runs. `Err(None)`: the unit refused and keeps its own answer.
    async fn run_confirmed(
        &self,
        tx: &mut WriteTx,
        job: &mut Job,
        now: Timestamp,
    ) -> Result<Vec<Sealed>, Option<Problem>> {
        if let Authority::Permit(permit) = job.unit.authority() {
            self.facts.confirm(tx, permit, now).await.map_err(Some)?;
        }
        let mut work = Work::new(tx, &self.ambient, now);
        job.unit.run(&mut work).await.map_err(|()| None)?;
        let drafts = std::mem::take(&mut work.drafts);
        if drafts.is_empty() {
            return Err(Some(Problem::internal("a unit of work drafted no entry; nothing was changed")));
        }
        let authority = job.unit.authority();
        drafts.into_iter().map(|draft| seal(draft, &authority, &self.ambient, now).map_err(Some)).collect()
    }

    /// Finds out whether a commit that was not answered happened after all.
    async fn look(&self, id: BatchId) -> Result<Head, Failed> {
        let mut tries = 0;
        loop {
            let found: Result<Option<(i64,)>, _> =
                self.database.fetch_optional(sql("SELECT size FROM batches WHERE id = $1").bind(id)).await;
            match found {
                Ok(Some(_)) => {
                    let mut tx = self.database.begin_write().await?;
                    return read_head(&mut tx).await.map(|(_, head)| head).map_err(Failed::Nothing);
                }
                Ok(None) => return Err(Failed::Nothing(not_recorded("the database undid it"))),
                Err(_) if tries < 10 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(_) => return Err(Failed::Unknown),
            }
        }
    }
}

async fn read_head(tx: &mut WriteTx) -> Result<(Edge, Head)> {
    let stored: StoredHead = tx
        .fetch_optional(sql("SELECT size, root, edge, time FROM log_head WHERE id = 1"))
        .await?
        .ok_or_else(|| Problem::new(ProblemKind::LogAltered, "the log has lost its head row"))?;
    let altered = || Problem::new(ProblemKind::LogAltered, "the head of the log does not fit its tree");
    let size = u64::try_from(stored.size).map_err(|_| altered())?;
    let edge = Edge::from_stored(size, &stored.edge).ok_or_else(altered)?;
    let root = edge.root();
    if stored.root != root {
        return Err(altered());
    }
    Ok((edge, Head { size, root, time: Timestamp::from_millis(stored.time) }))
}

async fn append(tx: &mut WriteTx, index: u64, entry: &Sealed) -> Result<(), StoreError> {
    let draft = &entry.draft;
    tx.execute(
        sql("INSERT INTO entries (idx, leaf, time, kind, action, decision, actor, subject, application, \
             environment, secret, scope, request) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)")
        .bind(as_i64(index))
        .bind(entry.leaf.as_slice())
        .bind(entry.time)
        .bind(draft.kind.as_str())
        .bind(draft.action.as_str())
        .bind(draft.decision)
        .bind(entry.actor.as_str())
        .bind(draft.subject.as_deref())
        .bind(draft.application.as_deref())
        .bind(draft.environment.as_deref())
        .bind(draft.secret.as_deref())
        .bind(entry.scope.as_ref())
        .bind(draft.request.as_deref()),
    )
    .await?;
    let openings = serde_json::to_string(&entry.openings).map_err(|e| StoreError::Refused(e.to_string()))?;
    tx.execute(sql("INSERT INTO openings (entry, body) VALUES ($1, $2)").bind(as_i64(index)).bind(openings))
        .await?;
    Ok(())
}

/// Moves the head by compare-and-set: where size or root are not what was read, nobody commits.
async fn move_head(
    tx: &mut WriteTx,
    from: &Head,
    to: &Head,
    edge: &Edge,
    batch: BatchId,
) -> Result<(), Failed> {
    let moved = tx
        .execute(
            sql("UPDATE log_head SET size = $1, root = $2, edge = $3, batch = $4, time = $5 \
                 WHERE id = 1 AND size = $6 AND root = $7")
            .bind(as_i64(to.size))
            .bind(to.root)
            .bind(edge.to_bytes())
            .bind(batch)
            .bind(to.time)
            .bind(as_i64(from.size))
            .bind(from.root),
        )
        .await?;
    if moved == 1 {
        return Ok(());
    }
    Err(Failed::Nothing(not_recorded("the head of the log moved underneath")))
}

/// Sizes and indices are BIGINT in the database; a log of 2^63 entries will not be seen.
fn as_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
