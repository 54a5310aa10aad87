//! A log over a given database, and units to do there.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use port_control::{
    access::RowsOfNow,
    audit::{Authority, Draft, Log, Unit, Work},
    base::{Ambient, Problem, ProblemKind, Timestamp, time::Stopwatch},
    policy::{Action, OwnServices, Permit, Policies, Resource, Service, ServicePermits},
    store::{Database, sql},
};

/// How long any act may take to be answered: the 2 s that are promised, and what the machine needs.
pub const ANSWERED: Duration = Duration::from_millis(2300);

/// One process with a log.
#[derive(Clone)]
pub struct Site {
    pub database: Database,
    pub log: Log,
    pub ambient: Ambient,
    services: Arc<OwnServices>,
}

impl Site {
    pub async fn open(database: Database) -> Result<Self> {
        Self::open_in(database, Ambient::system(Timestamp::EPOCH)).await
    }

    /// At a time of the test's own.
    pub async fn open_in(database: Database, ambient: Ambient) -> Result<Self> {
        let log = Log::open(database.clone(), ambient.clone(), Arc::new(RowsOfNow)).await?;
        let services = Arc::new(OwnServices::new(Arc::new(Policies::built_in()?), ambient.clone()));
        Ok(Self { database, log, ambient, services })
    }

    /// Where services get their permits.
    pub fn permits(&self) -> Arc<dyn ServicePermits> {
        Arc::clone(&self.services) as _
    }

    /// The permit of somebody who only works on the machine.
    pub fn operator(&self) -> Result<Permit> {
        Ok(self.services.permit(Service::Operator, Action::Operate, Resource::People)?)
    }

    /// The permit of the service that takes rights away.
    pub fn revocation(&self) -> Result<Permit> {
        Ok(self.services.permit(Service::Revocation, Action::Revoke, Resource::People)?)
    }

    /// Notes `name`: a row and an entry.
    pub async fn note(&self, name: &str) -> Result<(), Problem> {
        let permit = self.operator().map_err(|error| Problem::internal(error.to_string()))?;
        self.log.perform(Note { permit, name: name.to_owned(), does: Does::Note }).await
    }

    /// As [`Self::note`], and does something more in between.
    pub async fn note_and(&self, name: &str, does: Does) -> Result<(), Problem> {
        let permit = self.operator().map_err(|error| Problem::internal(error.to_string()))?;
        self.log.perform(Note { permit, name: name.to_owned(), does }).await
    }

    /// As [`Self::note`], and how long it took.
    pub async fn timed(&self, name: &str) -> (Result<(), Problem>, Duration) {
        let since = Stopwatch::start();
        (self.note(name).await, since.elapsed())
    }

    /// Whether the row of that name is there.
    pub async fn has(&self, name: &str) -> Result<bool> {
        let found: Option<(String,)> =
            self.database.fetch_optional(sql("SELECT name FROM marks WHERE name = $1").bind(name)).await?;
        Ok(found.is_some())
    }
}

/// What a unit does beside its row and its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Note,
    /// Counts one further, and says in its entry how far.
    Count,
    Panic,
    /// Is slow, without the database.
    Sleep(Duration),
    /// Stands still with its whole thread, as a paused process does.
    Stop(Duration),
    Refuse,
    /// Goes on after a statement that failed.
    Swallow,
    /// Drafts no entry.
    Nothing,
}

/// A unit of the tests.
pub struct Note {
    pub permit: Permit,
    pub name: String,
    pub does: Does,
}

#[async_trait]
impl Unit for Note {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Problem> {
        let name = self.name.as_str();
        work.execute(sql("INSERT INTO marks (name, value) VALUES ($1, '')").bind(name)).await?;
        let mut draft = Draft::act("test.noted").with("name", name);
        match self.does {
            Does::Note => {}
            Does::Count => draft = draft.with("count", count(work).await?),
            Does::Panic => panic!("a unit that panics on purpose"),
            Does::Sleep(long) => tokio::time::sleep(long).await,
            Does::Stop(long) => std::thread::sleep(long),
            Does::Refuse => return Err(Problem::conflict("refused on purpose")),
            Does::Swallow => {
                let again = sql("INSERT INTO marks (name, value) VALUES ($1, '')").bind(name);
                drop(work.execute(again).await);
            }
            Does::Nothing => return Ok(()),
        }
        work.record(draft);
        Ok(())
    }
}

async fn count(work: &mut Work<'_>) -> Result<i64, Problem> {
    let row: Option<(String,)> =
        work.fetch_optional(sql("SELECT value FROM marks WHERE name = 'count'")).await?;
    let next = row.and_then(|(value,)| value.parse::<i64>().ok()).unwrap_or(0) + 1;
    work.execute(
        sql("INSERT INTO marks (name, value) VALUES ('count', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value")
        .bind(next.to_string()),
    )
    .await?;
    Ok(next)
}

/// Whether an act ended in one of the two problems that say that the log could not take it.
pub fn is_bounded(problem: &Problem) -> bool {
    problem.is(ProblemKind::NotRecorded) || problem.is(ProblemKind::OutcomeUnknown)
}

/// Every act that was answered with yes is there, and of every one that was answered with
/// `not-recorded`, nothing.
pub async fn check_answers(site: &Site, answers: &[(String, Result<(), Problem>)]) -> Result<()> {
    let entries = super::check::walk(&site.database).await?;
    for (name, answer) in answers {
        let row = site.has(name).await?;
        let entry = entries.iter().filter(|entry| entry.payload["name"] == name.as_str()).count();
        ensure!(entry == usize::from(row), "{name}: {entry} entries beside row {row}");
        match answer {
            Ok(()) => ensure!(row, "{name} was acknowledged and is not there"),
            Err(problem) if problem.is(ProblemKind::NotRecorded) => {
                ensure!(!row, "{name} is there, although it was said not to be: {problem}");
            }
            Err(problem) => ensure!(is_bounded(problem), "{name}: {problem}"),
        }
    }
    Ok(())
}
