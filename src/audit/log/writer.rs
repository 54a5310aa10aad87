//! The writer's side: one transaction after the other, with all that waits.

use std::{collections::VecDeque, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Head, OnBrokenDisk, growth,
    job::{Job, is_the_databases},
    not_recorded, outcome_unknown, rows,
};
use crate::{
    audit::{
        Edge,
        entry::{Draft, Sealed, seal},
        unit::{Authority, FactsOfNow, Work},
    },
    base::{Ambient, Problem, ProblemKind, Result, Timestamp, ids::BatchId, time::Stopwatch},
    store::{Database, Reserve, StoreError, WriteTx, sql},
};

/// How many units share a transaction at most, on a disk that is fast: where twice as many wait, one half is
/// answered and comes again while the other is written.
const LARGEST_BATCH: usize = 512;
/// How many on a disk that is slow: there, what costs most is a commit.
const LARGEST_BATCH_SLOW: usize = 1024;
/// From how long a commit takes on, a disk is slow.
const SLOW: Duration = Duration::from_millis(2);
/// After how many entries a transaction takes no further units: appending them takes its time, too.
const MOST_ENTRIES: usize = 2048;
/// After which time a transaction takes no further units.
const FULL_AFTER: Duration = Duration::from_millis(300);
/// How long a unit may run: it holds up all others.
const LONGEST_UNIT: Duration = Duration::from_millis(500);
/// How long the first transaction of a batch may take up to its commit. A little more than the 1 s after
/// which the database takes the head away from a replica that hangs.
const FIRST_TRY: Duration = Duration::from_millis(1300);
/// How long all of them may take up to the commit.
const ALL_TRIES: Duration = Duration::from_millis(1800);
/// How long a commit may take before it is looked for.
const COMMIT: Duration = Duration::from_millis(1500);
/// How long a commit that was not answered is looked for.
const LOOK: Duration = Duration::from_millis(1500);
/// How often the reserve is tried to be filled again.
const FILL_EVERY: Duration = Duration::from_millis(250);

/// What the writer is told.
pub(super) enum Message {
    /// To do a unit.
    Job(Job),
    /// To say when all that came before is done.
    Drain(oneshot::Sender<()>),
}

/// What waits for the writer, in the order in which it came.
struct Inbox {
    messages: mpsc::Receiver<Message>,
    waiting: VecDeque<Job>,
    drains: Vec<oneshot::Sender<()>>,
}

impl Inbox {
    /// The first that waits; nothing where nobody is left to come.
    async fn first(&mut self) -> Option<Job> {
        self.take_what_is_there();
        while self.waiting.is_empty() {
            for drained in self.drains.drain(..) {
                // Whoever waited may have gone.
                let _ = drained.send(());
            }
            let message = self.messages.recv().await?;
            self.sort(message);
        }
        self.waiting.pop_front()
    }

    /// Adds who waits, up to so many. Those who were answered together come again together: as long as more
    /// of them get to it in one turn of the runtime, they are let.
    async fn join(&mut self, jobs: &mut Vec<Job>, largest: usize) {
        let mut before = None;
        self.take_what_is_there();
        while jobs.len() + self.waiting.len() < largest && before != Some(self.waiting.len()) {
            before = Some(self.waiting.len());
            tokio::task::yield_now().await;
            self.take_what_is_there();
        }
        let count = largest.saturating_sub(jobs.len()).min(self.waiting.len());
        jobs.extend(self.waiting.drain(..count).filter(|job| job.state.take_up()));
    }

    fn take_what_is_there(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.sort(message);
        }
    }

    fn sort(&mut self, message: Message) {
        match message {
            Message::Job(job) => self.waiting.push_back(job),
            Message::Drain(drained) => self.drains.push(drained),
        }
    }
}

/// Units on their way through one transaction.
struct Batch {
    id: BatchId,
    since: Stopwatch,
    tries: usize,
    /// Whether one of them has refused: then each is run in a savepoint.
    quarrels: bool,
    jobs: Vec<Job>,
    /// Those that found the transaction full.
    later: Vec<Job>,
}

impl Batch {
    /// How long it may go on up to the commit.
    fn time_left(&self) -> Duration {
        let whole = if self.tries == 0 { FIRST_TRY } else { ALL_TRIES };
        whole.saturating_sub(self.since.elapsed())
    }

    fn is_full(&self) -> bool {
        self.since.elapsed() > FULL_AFTER && self.tries == 0
    }

    /// Leaves those from `index` on to a later transaction.
    fn put_off(&mut self, index: usize) {
        let mut later = self.jobs.split_off(index);
        later.append(&mut self.later);
        self.later = later;
    }

    /// Refuses some of them. They are answered at once.
    fn refuse(&mut self, which: impl Fn(&Job) -> bool, problem: &Problem) {
        for mut job in self.jobs.extract_if(.., |job| which(job)) {
            job.unit.refuse(problem.clone());
            job.unit.answer();
        }
    }
}

/// All that is done but moving the head and the commit.
struct Prepared {
    tx: WriteTx,
    from: Head,
    to: Head,
    edge: Edge,
    /// Which units did their work.
    done: Vec<usize>,
}

/// A transaction that came to nothing, and whether that is certain.
enum Failed {
    /// Nothing was committed.
    Nothing(StoreError),
    /// The log is not what it was.
    Altered(Problem),
    /// Nothing was committed, because somebody gave up at the last moment.
    Withdrawn,
    /// Nothing was committed, because one of those that ran together refused.
    Quarrel,
    /// The commit was sent and not answered.
    Unknown,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Nothing(error)
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        match problem.kind {
            ProblemKind::DatabaseUnavailable => Self::Nothing(StoreError::Unavailable(problem.detail)),
            ProblemKind::NotRecorded => Self::Nothing(StoreError::NoRoom(problem.detail)),
            ProblemKind::LogAltered | ProblemKind::LogIncomplete => Self::Altered(problem),
            _ => Self::Nothing(StoreError::Refused(problem.detail)),
        }
    }
}

impl Failed {
    fn to_problem(&self) -> Problem {
        match self {
            Self::Nothing(error) => not_recorded(error),
            Self::Altered(problem) => problem.clone(),
            Self::Withdrawn | Self::Quarrel => not_recorded("the database does not answer in time"),
            Self::Unknown => outcome_unknown(),
        }
    }
}

pub(super) struct Writer {
    database: Database,
    ambient: Ambient,
    facts: Arc<dyn FactsOfNow>,
    broken: OnBrokenDisk,
    head: watch::Sender<Head>,
    reserve: Option<Reserve>,
    /// Since when the disk is known to be full; set anew whenever it is tried.
    scarce: Option<Stopwatch>,
    /// How long the last commit took.
    commit_took: Duration,
}

impl Writer {
    pub(super) fn new(
        database: Database,
        ambient: Ambient,
        facts: Arc<dyn FactsOfNow>,
        broken: OnBrokenDisk,
        head: watch::Sender<Head>,
    ) -> Self {
        let reserve = database.reserve();
        Self { database, ambient, facts, broken, head, reserve, scarce: None, commit_took: Duration::ZERO }
    }

    /// Sees to it that there is a log, and how far it has come.
    pub(super) async fn begin(&mut self) -> Result<()> {
        let mut tx = self.database.begin_write().await?;
        let empty = self.head.borrow().clone();
        rows::begin_empty(&mut tx, &empty).await?;
        let (_, head) = rows::take_head(&mut tx).await?;
        tx.commit().await?;
        self.head.send_replace(head);
        if let Some(reserve) = &self.reserve
            && let Err(error) = reserve.fill().await
        {
            tracing::warn!(%error, "the disk is nearly full: nothing is kept back for revocations");
            self.scarce = Some(Stopwatch::start());
        }
        Ok(())
    }

    pub(super) async fn write(mut self, messages: mpsc::Receiver<Message>) {
        let mut inbox = Inbox { messages, waiting: VecDeque::new(), drains: Vec::new() };
        while let Some(first) = inbox.first().await {
            if !first.state.take_up() {
                continue;
            }
            // A fault of ours must not be the end of all writing.
            let settled = AssertUnwindSafe(self.settle(first, &mut inbox)).catch_unwind().await;
            let Ok(later) = settled else {
                tracing::error!("the log's writer panicked over a batch");
                continue;
            };
            for job in later.into_iter().rev() {
                job.state.put_back();
                inbox.waiting.push_front(job);
            }
        }
    }

    /// Brings a unit, and those that join it, to their end and answers them; those that are to come later
    /// are handed back.
    async fn settle(&mut self, first: Job, inbox: &mut Inbox) -> Vec<Job> {
        let (id, since) = (self.ambient.id(), Stopwatch::start());
        let mut batch = Batch { id, since, tries: 0, quarrels: false, jobs: vec![first], later: Vec::new() };
        if self.scarce.is_some() {
            inbox.join(&mut batch.jobs, self.largest_batch()).await;
            self.spare_the_reserve(&mut batch).await;
        }
        while !batch.jobs.is_empty() {
            match self.attempt(&mut batch, inbox).await {
                Ok(head) => {
                    growth::publish(&self.head, head);
                    break;
                }
                Err(failed) if self.may_go_on(&mut batch, &failed).await => {}
                Err(failed) => {
                    let problem = failed.to_problem();
                    tracing::warn!(%problem, units = batch.jobs.len(), "a batch was not recorded");
                    batch.refuse(|_| true, &problem);
                }
            }
        }
        for job in batch.jobs {
            job.unit.answer();
        }
        batch.later
    }

    fn largest_batch(&self) -> usize {
        if self.commit_took < SLOW { LARGEST_BATCH } else { LARGEST_BATCH_SLOW }
    }

    /// Prepares, commits, and where the commit is not answered, looks.
    async fn attempt(&mut self, batch: &mut Batch, inbox: &mut Inbox) -> Result<Head, Failed> {
        let prepared = within(batch.time_left(), self.prepare(batch, inbox)).await??;
        let Prepared { tx, from, to, edge, done } = prepared;
        if done.is_empty() {
            // Everybody was refused. Where undoing fails, the connection goes, which undoes it, too.
            drop(within(COMMIT, tx.roll_back()).await);
            return Ok(from);
        }
        if !commit_is_wanted(&batch.jobs, &done) {
            return Err(Failed::Withdrawn);
        }
        let since = Stopwatch::start();
        let outcome = match within(COMMIT, rows::commit(tx, &from, &to, &edge, batch.id)).await {
            Ok(Ok(())) => {
                self.commit_took = since.elapsed();
                return Ok(to);
            }
            Ok(Err(why)) | Err(why) => self.look(batch.id, from.size, why).await,
        };
        if matches!(outcome, Err(Failed::Nothing(_))) {
            for index in &done {
                batch.jobs[*index].state.undone();
            }
        }
        outcome
    }

    /// Whether a batch whose transaction came to nothing is to be run again.
    async fn may_go_on(&mut self, batch: &mut Batch, failed: &Failed) -> bool {
        batch.jobs.retain(|job| !job.state.is_given_up());
        match failed {
            Failed::Withdrawn => true,
            Failed::Quarrel => {
                batch.quarrels = true;
                true
            }
            Failed::Nothing(error @ StoreError::Broken(_)) => {
                (self.broken)(error);
                false
            }
            Failed::Nothing(StoreError::NoRoom(_)) => self.live_on_the_reserve(batch).await,
            // A connection was lost, or a replica held the head for too long: the units run again.
            Failed::Nothing(error) if error.may_pass() && batch.tries == 0 => {
                tracing::debug!(%error, "a batch is tried again");
                batch.tries = 1;
                !batch.time_left().is_zero()
            }
            Failed::Nothing(_) | Failed::Altered(_) | Failed::Unknown => false,
        }
    }

    /// The disk is full: what takes something away goes on in the room that was kept for it.
    async fn live_on_the_reserve(&mut self, batch: &mut Batch) -> bool {
        let before = self.scarce.replace(Stopwatch::start());
        let Some(reserve) = &self.reserve else { return false };
        if before.is_none() {
            tracing::error!("the disk is full: nothing is recorded any more but what takes rights away");
        }
        let released = reserve.release().await;
        let was_tried = std::mem::replace(&mut batch.tries, 1) == 1;
        batch.refuse(|job| !job.takes_away(), &not_recorded("the disk is full"));
        released.is_ok() && !was_tried
    }

    /// While the disk is full, nothing else gets the room that revocations need.
    async fn spare_the_reserve(&mut self, batch: &mut Batch) {
        let (Some(since), Some(reserve)) = (self.scarce, &self.reserve) else { return };
        let is_time = since.elapsed() >= FILL_EVERY;
        if is_time && within(COMMIT, reserve.fill()).await.is_ok_and(|filled| filled.is_ok()) {
            tracing::info!("there is room on the disk again");
            self.scarce = None;
            return;
        }
        if is_time {
            self.scarce = Some(Stopwatch::start());
        }
        batch.refuse(|job| !job.takes_away(), &not_recorded("the disk is full"));
    }

    /// One transaction up to its commit: the units, then their entries.
    async fn prepare(&self, batch: &mut Batch, inbox: &mut Inbox) -> Result<Prepared, Failed> {
        let (mut tx, mut edge, from) = rows::begin(&self.database).await?;
        refuse_set_back(&self.head.borrow(), &from)?;
        if batch.tries == 0 && !batch.quarrels && self.scarce.is_none() {
            // Whoever came while the head was waited for.
            inbox.join(&mut batch.jobs, self.largest_batch()).await;
        }
        let now = self.ambient.now().max(from.time);
        let done = if batch.quarrels || batch.jobs.len() < 2 {
            self.run_apart(&mut tx, batch, now, &mut edge).await?
        } else if self.run_together(&mut tx, batch, now, &mut edge).await? {
            (0..batch.jobs.len()).collect()
        } else {
            // Where undoing fails, the connection goes, which undoes it, too.
            drop(tx.roll_back().await);
            return Err(Failed::Quarrel);
        };
        let to = if done.is_empty() {
            from.clone()
        } else {
            Head { size: edge.size(), root: edge.root(), time: now }
        };
        Ok(Prepared { tx, from, to, edge, done })
    }

    /// Runs the units without a savepoint for each, which is most of what many small ones cost. Whether all
    /// did their work; where one of them refused, the transaction is worth nothing.
    async fn run_together(
        &self,
        tx: &mut WriteTx,
        batch: &mut Batch,
        now: Timestamp,
        edge: &mut Edge,
    ) -> Result<bool, Failed> {
        let mut drafted = Vec::new();
        for index in 0..batch.jobs.len() {
            if batch.is_full() || drafted.len() >= MOST_ENTRIES {
                batch.put_off(index);
                break;
            }
            let at = (now, edge.size() + drafted.len() as u64);
            let Some(drafts) = self.run_bounded(tx, &mut batch.jobs[index], at).await? else {
                return Ok(false);
            };
            drafted.extend(drafts.into_iter().map(|draft| (index, draft)));
        }
        let (jobs, count) = (&mut batch.jobs, drafted.len());
        let mut drafted = drafted.into_iter();
        // One that cannot be sealed is found out apart, too.
        let seal_next = move |count: usize| -> Option<Vec<Sealed>> {
            let next = drafted.by_ref().take(count);
            next.map(|(index, draft)| self.seal(&mut jobs[index], draft, now)).collect::<Result<_>>().ok()
        };
        match rows::append(tx, edge, count, seal_next).await {
            // PostgreSQL: a statement of one of them failed, and it did not mind. Apart, it shows whose.
            Err(StoreError::Refused(_)) => Ok(false),
            outcome => Ok(outcome?),
        }
    }

    /// Runs the units, each in a savepoint unless it is alone, and appends their entries; which did their
    /// work.
    async fn run_apart(
        &self,
        tx: &mut WriteTx,
        batch: &mut Batch,
        now: Timestamp,
        edge: &mut Edge,
    ) -> Result<Vec<usize>, Failed> {
        let alone = batch.jobs.len() == 1;
        // Those that were run together before have used up the batch's time; they go on all the same.
        let since = Stopwatch::start();
        let (mut sealed, mut done) = (Vec::new(), Vec::new());
        for index in 0..batch.jobs.len() {
            let is_full = batch.is_full() && (!batch.quarrels || since.elapsed() > FULL_AFTER);
            if is_full || sealed.len() >= MOST_ENTRIES {
                batch.put_off(index);
                break;
            }
            let (job, at) = (&mut batch.jobs[index], (now, edge.size() + sealed.len() as u64));
            let entries = if alone {
                self.run_and_seal(tx, job, at).await?
            } else {
                self.run_in_savepoint(tx, job, at).await?
            };
            if let Some(entries) = entries {
                sealed.extend(entries);
                done.push(index);
            }
        }
        let count = sealed.len();
        let mut sealed = sealed.into_iter();
        rows::append(tx, edge, count, |count| Some(sealed.by_ref().take(count).collect())).await?;
        Ok(done)
    }

    /// The entry of a unit that did its work.
    fn seal(&self, job: &mut Job, draft: Draft, now: Timestamp) -> Result<Sealed> {
        seal(draft, &job.unit.authority(), &self.ambient, now)
    }

    /// Runs a unit and seals what it drafted; one of which something cannot be sealed has refused.
    async fn run_and_seal(
        &self,
        tx: &mut WriteTx,
        job: &mut Job,
        at: (Timestamp, u64),
    ) -> Result<Option<Vec<Sealed>>, Failed> {
        let Some(drafts) = self.run_bounded(tx, job, at).await? else { return Ok(None) };
        let sealed: Result<Vec<Sealed>> =
            drafts.into_iter().map(|draft| self.seal(job, draft, at.0)).collect();
        match sealed {
            Ok(sealed) => Ok(Some(sealed)),
            Err(problem) => {
                job.unit.refuse(problem);
                Ok(None)
            }
        }
    }

    /// Runs a unit among others: what it did alone is undone where it refuses.
    async fn run_in_savepoint(
        &self,
        tx: &mut WriteTx,
        job: &mut Job,
        at: (Timestamp, u64),
    ) -> Result<Option<Vec<Sealed>>, Failed> {
        tx.execute(sql("SAVEPOINT unit")).await?;
        if let Some(sealed) = self.run_and_seal(tx, job, at).await? {
            match tx.execute(sql("RELEASE SAVEPOINT unit")).await {
                Ok(_) => return Ok(Some(sealed)),
                // PostgreSQL: a statement of the unit failed, and it did not mind.
                Err(StoreError::Refused(_)) => job.unit.refuse(Problem::internal(
                    "a unit of work went on after a failed statement; nothing was changed",
                )),
                Err(error) => return Err(error.into()),
            }
        }
        tx.execute(sql("ROLLBACK TO SAVEPOINT unit")).await?;
        tx.execute(sql("RELEASE SAVEPOINT unit")).await?;
        Ok(None)
    }

    /// Runs a unit at a time, its entries to begin at an index: what it drafted, or nothing where it
    /// refused. Neither its panic nor its slowness
    /// is anybody else's concern.
    async fn run_bounded(
        &self,
        tx: &mut WriteTx,
        job: &mut Job,
        at: (Timestamp, u64),
    ) -> Result<Option<Vec<Draft>>, Failed> {
        let running = AssertUnwindSafe(self.run_confirmed(tx, job, at)).catch_unwind();
        match tokio::time::timeout(LONGEST_UNIT, running).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                job.unit.refuse(Problem::internal("a unit of work panicked; nothing was changed"));
                Ok(None)
            }
            Err(_) => {
                let limit = LONGEST_UNIT.as_millis();
                job.unit.refuse(not_recorded(format!("it took longer than {limit} ms")));
                Ok(None)
            }
        }
    }

    /// Reads the facts again, then runs.
    async fn run_confirmed(
        &self,
        tx: &mut WriteTx,
        job: &mut Job,
        at: (Timestamp, u64),
    ) -> Result<Option<Vec<Draft>>, Failed> {
        let (now, first) = at;
        if let Authority::Permit(permit) = job.unit.authority()
            && let Err(problem) = self.facts.confirm(tx, permit, now).await
        {
            if is_the_databases(&problem) {
                return Err(problem.into());
            }
            job.unit.refuse(problem);
            return Ok(None);
        }
        let mut work = Work::new(tx, &self.ambient, now, first);
        let ran = job.unit.run(&mut work).await;
        if let Some(error) = work.failure.take() {
            return Err(error.into());
        }
        let drafts = std::mem::take(&mut work.drafts);
        if !ran {
            return Ok(None);
        }
        if drafts.is_empty() {
            job.unit.refuse(Problem::internal("a unit of work drafted no entry; nothing was changed"));
            return Ok(None);
        }
        Ok(Some(drafts))
    }

    /// Finds out whether a commit that was not answered happened after all: never by guessing.
    async fn look(&self, id: BatchId, first: u64, why: StoreError) -> Result<Head, Failed> {
        if let StoreError::Broken(_) = why {
            return Err(why.into());
        }
        let since = Stopwatch::start();
        while let Some(left) = LOOK.checked_sub(since.elapsed()) {
            match within(left, self.look_once(id, first)).await {
                Ok(Ok((Some(true), head))) => return Ok(head),
                Ok(Ok((Some(false), _))) => return Err(why.into()),
                Ok(Ok((None, _))) => break,
                Ok(Err(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        tracing::error!(%why, "whether a batch was committed could not be found out");
        Err(Failed::Unknown)
    }

    /// With the head locked, the transaction that is looked for has ended, one way or the other.
    async fn look_once(&self, id: BatchId, first: u64) -> Result<(Option<bool>, Head), Failed> {
        let (mut tx, _, head) = rows::begin(&self.database).await?;
        let found = rows::find_batch(&mut tx, first, id, &head).await?;
        tx.roll_back().await?;
        Ok((found, head))
    }
}

/// Refuses a head from before the one that this process has seen: the database was set back under it, and
/// whatever were written now would not follow what was signed.
fn refuse_set_back(known: &Head, found: &Head) -> Result<(), Problem> {
    if found.size > known.size || (found.size == known.size && found.root == known.root) {
        return Ok(());
    }
    let (known, found) = (known.size, found.size);
    Err(Problem::new(
        ProblemKind::LogIncomplete,
        format!("the database was set back: this server has seen {known} entries of its log, and {found} are there"),
    )
    .remedy("Nothing is recorded any more. Bring back the newest database and restart the servers; without \
             it, stop them and go on by `port-control recover`."))
}

/// Whether all who did their work still wait; from here on, nobody who gives up can be certain.
fn commit_is_wanted(jobs: &[Job], done: &[usize]) -> bool {
    let wanted: Vec<bool> = done.iter().map(|index| jobs[*index].state.commit()).collect();
    if wanted.iter().all(|wanted| *wanted) {
        return true;
    }
    for index in done {
        jobs[*index].state.undone();
    }
    false
}

/// Awaits the database, and not for ever.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, StoreError> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| StoreError::Unavailable("the database does not answer in time".to_owned()))
}
