//! Who can read what was delivered, as the cluster says: they came to know it.
//!
//! Level-triggered: woken by the log and a timer, it asks the cluster about every person who is known to it
//! and of whom it is not noted yet that she could read what lies there now. Each is asked about by name and
//! by her groups, at a bounded rate; whoever can is exposed to the values there. What was put there
//! anew is asked about at once, and so is whoever has left a group since, with the groups that she had while the
//! values lay there; everything is asked again from time to time: roles and groups change. Where a
//! cluster does not let us ask, that is noted, and shown wherever somebody asks who knows a secret.

mod ask;
mod people;
#[cfg(test)]
mod tests;
mod units;
mod unknown;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use self::{
    ask::Asking,
    people::{Candidate, Leavers, Whom},
    units::{NoteKnowing, NoteReaders},
};
use super::{Broker, Spot, Target, TargetError, desired::Place};
use crate::{
    base::{EnvironmentRef, Name, Problem, ProblemKind, Result, Timestamp, ids::PersonId},
    catalog::{ClusterPeople, Snapshot},
    policy::EnvironmentFacts,
    store::sql,
};

pub use unknown::UnknownReaders;

/// How long nothing is asked again of a Secret of which nothing was heard.
const INTERVAL: Duration = Duration::from_mins(10);
/// How soon a cluster is asked again that could not be asked.
const SOON: Duration = Duration::from_mins(1);
/// Longest and shortest time between two looks.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);

/// A Secret of ours with values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lying {
    delivery: Name,
    environment: EnvironmentRef,
    place: Place,
    /// When it was put there last; whoever left before that could not read it.
    since: Timestamp,
    /// The versions in it.
    versions: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct LyingRow {
    delivery: String,
    environment: String,
    cluster: String,
    namespace: String,
    secret: String,
    delivered_at: Option<i64>,
    version: String,
}

/// What was asked last of each place; all of it can be lost.
#[derive(Default)]
struct Mind {
    asked: BTreeMap<Place, Asked>,
}

/// What was asked last of a place.
struct Asked {
    question: String,
    /// When; of whoever left a group later, not everything is known.
    at: Timestamp,
    /// When everybody is asked about again.
    next: Timestamp,
}

impl Asked {
    /// About whom to ask now; nothing where it is too soon.
    fn whom(last: Option<&Self>, question: &str, now: Timestamp, leavers: &Leavers) -> Option<Whom> {
        let Some(last) = last.filter(|it| it.question == question && now < it.next) else {
            return Some(Whom::Everybody);
        };
        let left = leavers.iter().filter(|(_, at)| *at >= last.at);
        let left: BTreeSet<String> = left.map(|(person, _)| person.clone()).collect();
        (!left.is_empty()).then_some(Whom::Some(left))
    }
}

impl Broker {
    /// Asks clusters who can read what was delivered, until it is told to stop.
    pub async fn follow_readers(self, stop: CancellationToken) {
        let mut log = self.it.log.watch();
        let mut mind = Mind::default();
        while !stop.is_cancelled() {
            log.borrow_and_update();
            if let Err(problem) = self.look_for_readers(&mut mind, &stop).await {
                tracing::warn!(%problem, "who can read what was delivered could not be found out");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SHORTEST_SLEEP) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LONGEST_SLEEP) => {}
                _ = log.changed() => {}
            }
        }
    }

    async fn look_for_readers(&self, mind: &mut Mind, stop: &CancellationToken) -> Result<()> {
        let declared = self.it.catalog.snapshot().await?;
        let lying = self.lying().await?;
        mind.asked.retain(|place, _| lying.iter().any(|it| it.place == *place));
        let leavers = self.leavers(mind.asked.values().map(|it| it.at).min()).await?;
        for it in &lying {
            let Some((target, people)) = self.knows_people(&declared, &it.place.cluster) else { continue };
            let question = format!("{:?} {people:?}", it.versions);
            let now = self.it.ambient.now();
            let last = mind.asked.get(&it.place);
            let Some(whom) = Asked::whom(last, &question, now, &leavers) else { continue };
            // Who is asked about out of turn leaves everybody's turn as it was.
            let turn = last.map(|last| last.next).filter(|_| whom != Whom::Everybody);
            let candidates = self.candidates(&declared, it, people, &whom).await?;
            let is_known = self.ask_about(&declared, it, target, &candidates, stop).await?;
            let wait = if is_known { INTERVAL } else { SOON };
            if stop.is_cancelled() {
                return Ok(());
            }
            let next = turn.filter(|_| is_known).unwrap_or_else(|| now.after(wait));
            mind.asked.insert(it.place.clone(), Asked { question, at: now, next });
        }
        Ok(())
    }

    /// How to ask a cluster, and how people appear there; nothing where nobody does, or no file says how.
    fn knows_people<'b>(
        &'b self,
        declared: &'b Snapshot,
        cluster: &Name,
    ) -> Option<(&'b dyn Target, &'b ClusterPeople)> {
        let target = self.it.targets.get(cluster).filter(|it| it.knows_people())?;
        Some((target.as_ref(), declared.cluster(cluster)?.people.as_ref()?))
    }

    async fn lying(&self) -> Result<Vec<Lying>> {
        let query = sql(
            "SELECT p.delivery, p.environment, p.cluster, p.namespace, p.secret, t.delivered_at, d.version \
             FROM delivery_places p JOIN delivered_versions d ON d.delivery = p.delivery \
             AND d.place = p.cluster || '/' || p.namespace || '/' || p.secret \
             LEFT JOIN delivery_states t ON t.delivery = p.delivery \
             ORDER BY p.delivery, p.cluster, p.namespace, p.secret, d.version",
        );
        let mut found: BTreeMap<(String, Place), Lying> = BTreeMap::new();
        for row in self.it.database.fetch_all::<LyingRow>(query).await? {
            let version = row.version.clone();
            let it = Lying::read(row)?;
            let key = (it.delivery.to_string(), it.place.clone());
            found.entry(key).or_insert(it).versions.push(version);
        }
        Ok(found.into_values().collect())
    }

    /// Asks about one Secret; whether it is known now who can read it.
    async fn ask_about(
        &self,
        declared: &Snapshot,
        it: &Lying,
        target: &dyn Target,
        candidates: &[Candidate],
        stop: &CancellationToken,
    ) -> Result<bool> {
        let facts = declared.environment(&it.environment).unwrap_or_else(|_| EnvironmentFacts {
            at: it.environment.clone(),
            owner: None,
            protected: false,
        });
        let mut asking = Asking::new(target, &it.place.spot, stop);
        for some in candidates.chunks(units::AT_ONCE) {
            match asking.who_can(some).await {
                Ok(readers) => self.note_readers(&facts, it, readers).await?,
                Err(error) => {
                    self.note_knowing(&facts, it, Some(&error)).await?;
                    return Ok(false);
                }
            }
        }
        if !stop.is_cancelled() {
            self.note_knowing(&facts, it, None).await?;
        }
        Ok(true)
    }

    async fn note_readers(
        &self,
        facts: &EnvironmentFacts,
        it: &Lying,
        readers: Vec<(PersonId, String)>,
    ) -> Result<()> {
        if readers.is_empty() {
            return Ok(());
        }
        let unit = NoteReaders {
            permit: self.permit(facts)?,
            delivery: it.delivery.clone(),
            place: it.place.clone(),
            readers,
        };
        unless_overtaken(self.it.log.perform(unit).await)
    }

    /// Notes whether it is known, where that has changed.
    async fn note_knowing(
        &self,
        facts: &EnvironmentFacts,
        it: &Lying,
        error: Option<&TargetError>,
    ) -> Result<()> {
        let state = if error.is_none() { "known" } else { "unknown" };
        let detail = error.map(ToString::to_string).unwrap_or_default();
        let query = sql("SELECT state, detail FROM delivery_readers WHERE delivery = $1").bind(&it.delivery);
        let before: Option<(String, String)> = self.it.database.fetch_optional(query).await?;
        if before.is_some_and(|(was, said)| was == state && said == detail) {
            return Ok(());
        }
        let unit = NoteKnowing {
            permit: self.permit(facts)?,
            delivery: it.delivery.clone(),
            environment: it.environment.clone(),
            state,
            detail,
        };
        unless_overtaken(self.it.log.perform(unit).await)
    }
}

/// Somebody else noted it: another replica.
fn unless_overtaken(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(problem) if problem.is(ProblemKind::Conflict) => Ok(()),
        outcome => outcome,
    }
}

impl Lying {
    fn read(row: LyingRow) -> Result<Self> {
        let spot = Spot { namespace: stored(&row.namespace)?, secret: row.secret };
        Ok(Self {
            delivery: stored(&row.delivery)?,
            environment: stored(&row.environment)?,
            place: Place { cluster: stored(&row.cluster)?, spot },
            since: Timestamp::from_millis(row.delivered_at.unwrap_or(0)),
            versions: Vec::new(),
        })
    }
}

fn stored<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Problem::internal("a stored delivery cannot be read"))
}
