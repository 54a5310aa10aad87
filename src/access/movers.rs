//! Follows people from group to group: ends grants and requests that only the old teams justified, and
//! notes in one entry what somebody gained and lost.
//!
//! Decisions use the facts of now, so nothing rests on this being quick. Level-triggered: woken by the log
//! and by a timer, it compares the teams and trust scopes in which a person is with those of the last time,
//! for whoever's facts have moved, and for everybody where what files declare has. Who is met for the first
//! time is compared with where she was when she first signed in; whoever has never done so has not moved.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{
    belonging::{Belonging, Hers},
    grants::{self, Grant, GrantRow, stored},
    moves::Moved,
    request::{self, Request, RequestRow, SELECT},
};
use crate::{
    audit::{Authority, Log, Unit, Work},
    base::{
        Ambient, Problem, ProblemKind, Result, Timestamp,
        ids::{GrantId, PersonId, RequestId},
    },
    catalog::{Catalog, Snapshot},
    identity::{GroupRow, ServicePermits},
    notify::Outbox,
    policy::{Action, Permit, Policies, Resource, Service},
    store::{Database, Query, sql},
};

/// Longest time between two looks.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Shortest time between two looks, so that a busy log does not make this busy.
const SHORTEST_SLEEP: Duration = Duration::from_millis(500);
/// People of whom it is noted together that they are where they were.
const AT_ONCE_WRITTEN: usize = 250;
/// People that are looked at together.
const AT_ONCE: i64 = 500;
/// The cursor that says with which version of what is declared everybody was compared.
const CURSOR: &str = "movers";
/// Why a grant ends, and a request is withdrawn.
const BECAUSE: &str = "no-longer-justified";

/// What it works with.
pub struct MoversParts {
    /// Where people, grants and requests lie.
    pub database: Database,
    /// The only way to write.
    pub log: Log,
    /// What files declare.
    pub catalog: Catalog,
    /// What decides whether something could be asked for.
    pub policies: Arc<Policies>,
    /// Permits of [`Service::Movers`].
    pub permits: Arc<dyn ServicePermits>,
    /// Time.
    pub ambient: Ambient,
    /// Tells the teams.
    pub outbox: Outbox,
}

/// What follows people from group to group.
pub struct Movers {
    it: MoversParts,
}

/// Somebody whose facts may have moved.
#[derive(sqlx::FromRow)]
struct PersonRow {
    id: String,
    facts: i64,
    known: Option<i64>,
    body: Option<String>,
    met_catalog: Option<i64>,
    met_source: Option<String>,
    met_groups: Option<String>,
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    person: String,
    source: String,
    group_id: String,
}

/// A person with what is to be looked at.
struct Somebody {
    facts: i64,
    /// Where she was the last time; nothing where she is met for the first time.
    before: Option<(i64, Belonging)>,
    /// What was declared, and her groups, when she first signed in; until it is noted where she was.
    met: Option<(i64, Vec<GroupRow>)>,
    groups: Vec<GroupRow>,
    grants: Vec<Grant>,
    requests: Vec<Request>,
}

/// Whose facts have moved, of those whose ids are in a range; or all of them.
const CHOSEN: &str = "FROM people p LEFT JOIN standings w ON w.person = p.id \
     LEFT JOIN first_met f ON f.person = p.id \
     WHERE p.status <> 'deactivated' AND p.id > $1 AND p.id <= $2 \
     AND ($3 = 1 OR w.person IS NULL OR w.facts <> p.facts)";

impl Movers {
    /// Does nothing until it is [run](Self::run).
    #[must_use]
    pub fn new(it: MoversParts) -> Self {
        Self { it }
    }

    /// Looks again and again until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut log = self.it.log.watch();
        while !stop.is_cancelled() {
            log.borrow_and_update();
            if let Err(problem) = self.look().await {
                tracing::warn!(%problem, "people could not be followed; decisions use the facts of now all the same");
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

    /// Follows everybody who has moved since; how many did.
    ///
    /// # Errors
    /// A problem of the database; what was followed before stays so.
    pub async fn look(&self) -> Result<usize> {
        let declared = self.it.catalog.snapshot().await?;
        self.look_by(&declared).await
    }

    /// The same by what is declared in this version.
    pub(super) async fn look_by(&self, declared: &Arc<Snapshot>) -> Result<usize> {
        let everybody = self.compared_with().await? != Some(declared.version);
        let (mut moved, mut after) = (0, String::new());
        while let Some(last) = self.last_of_page(&after, everybody).await? {
            moved += self.look_at(declared, &(after, last.clone()), everybody).await?;
            after = last;
        }
        if everybody {
            self.note_compared(declared.version).await?;
        }
        Ok(moved)
    }

    async fn compared_with(&self) -> Result<Option<i64>> {
        let query = sql("SELECT value FROM cursors WHERE name = $1").bind(CURSOR);
        let row: Option<(String,)> = self.it.database.fetch_optional(query).await?;
        Ok(row.and_then(|(value,)| value.parse().ok()))
    }

    /// An older replica must not take it back: then everybody is looked at once more, and nothing found.
    async fn note_compared(&self, version: i64) -> Result<()> {
        let query = sql("INSERT INTO cursors (name, value, at) VALUES ($1, $2, $3) \
                         ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at")
        .bind(CURSOR)
        .bind(version.to_string())
        .bind(self.it.ambient.now());
        self.it.database.write_unrecorded("cursors", query).await?;
        Ok(())
    }

    /// The last id of the next people to look at.
    async fn last_of_page(&self, after: &str, everybody: bool) -> Result<Option<String>> {
        let text = format!("SELECT max(c.id) FROM (SELECT p.id {CHOSEN} ORDER BY p.id LIMIT {AT_ONCE}) c");
        let query = within(text, &(after.to_owned(), LAST_ID.to_owned()), everybody);
        let row: Option<(Option<String>,)> = self.it.database.fetch_optional(query).await?;
        Ok(row.and_then(|(last,)| last))
    }

    async fn look_at(&self, declared: &Arc<Snapshot>, range: &Range, everybody: bool) -> Result<usize> {
        let people = self.read(range, everybody).await?;
        let now = self.it.ambient.now();
        let (mut same, mut moves) = (Vec::new(), Vec::new());
        // Who came by newer files is looked at by these.
        let is_of_later = |it: &Somebody| {
            it.before.is_none() && it.met.as_ref().is_some_and(|(catalog, _)| *catalog > declared.version)
        };
        for (id, somebody) in people.into_iter().filter(|(_, it)| !is_of_later(it)) {
            match self.compare(declared, id, &somebody, now) {
                None => same.push((id, somebody)),
                Some(it) => moves.push(self.follow(it, !everybody)),
            }
        }
        let mut followed = 0;
        for outcome in join_all(moves).await {
            match outcome {
                Ok(()) => followed += 1,
                Err(problem) if is_overtaken(&problem) => {}
                Err(problem) => return Err(problem),
            }
        }
        self.note_looked(declared, &same, now).await?;
        Ok(followed)
    }

    /// What is to be done about her; nothing where she is where she was.
    fn compare(
        &self,
        declared: &Arc<Snapshot>,
        id: PersonId,
        somebody: &Somebody,
        now: Timestamp,
    ) -> Option<Move> {
        let hers = Hers::new(id, &somebody.groups, declared, now);
        let belonging = hers.belonging();
        let policies = &self.it.policies;
        let grants = somebody.grants.iter().filter(|it| !hers.justify(policies, it)).map(|it| it.id);
        let requests =
            somebody.requests.iter().filter(|it| !hers.justify_asking(policies, it)).map(|it| it.id);
        let (grants, requests): (Vec<_>, Vec<_>) = (grants.collect(), requests.collect());
        let before = somebody.before.as_ref().map(|(_, before)| before.clone());
        let met = |(_, groups): &(i64, Vec<GroupRow>)| Hers::new(id, groups, declared, now).belonging();
        let before = before.or_else(|| somebody.met.as_ref().map(met)).unwrap_or_else(|| belonging.clone());
        if before == belonging && grants.is_empty() && requests.is_empty() {
            return None;
        }
        let moved = Moved::between(&before, &belonging);
        let known = somebody.before.as_ref().map(|(facts, _)| *facts);
        let seen = Versions { facts: somebody.facts, known, catalog: declared.version };
        Some(Move { person: id, seen, belonging, moved, grants, requests })
    }

    async fn follow(&self, it: Move, tell: bool) -> Result<()> {
        let permit = self.it.permits.permit(Service::Movers, Action::Follow, Resource::People)?;
        self.it.log.perform(Follow { permit, it, outbox: tell.then(|| self.it.outbox.clone()) }).await
    }

    /// These are where they were: what they were compared with is noted, and nothing else.
    async fn note_looked(
        &self,
        declared: &Snapshot,
        same: &[(PersonId, Somebody)],
        now: Timestamp,
    ) -> Result<()> {
        let stale: Vec<_> = same
            .iter()
            .filter(|(_, it)| it.before.as_ref().is_none_or(|(facts, _)| *facts != it.facts))
            .collect();
        for some in stale.chunks(AT_ONCE_WRITTEN) {
            let mut query = Query::composed(upsert(some.len()), Vec::new()).bind(declared.version);
            for (id, somebody) in some {
                let belonging = Hers::new(*id, &somebody.groups, declared, now).belonging();
                query = query.bind(*id).bind(somebody.facts).bind(json(&belonging)?);
            }
            self.it.database.write_unrecorded("standings", query).await?;
        }
        Ok(())
    }

    async fn read(&self, range: &Range, everybody: bool) -> Result<BTreeMap<PersonId, Somebody>> {
        let database = &self.it.database;
        let of = |text: String| within(text, range, everybody);
        let rows: Vec<PersonRow> = database
            .fetch_all(of(format!(
                "SELECT p.id, p.facts, w.facts AS known, w.body, f.catalog AS met_catalog, \
                 f.source AS met_source, f.groups AS met_groups {CHOSEN}"
            )))
            .await?;
        let mut people = rows.into_iter().map(PersonRow::read).collect::<Result<BTreeMap<_, _>>>()?;
        let chosen = format!("(SELECT p.id {CHOSEN})");
        let groups =
            format!("SELECT person, source, group_id FROM memberships_of_now WHERE person IN {chosen}");
        for row in database.fetch_all::<MembershipRow>(of(groups)).await? {
            let group =
                GroupRow { source: row.source, group_id: row.group_id, asserted_at: Timestamp::EPOCH };
            if let Some(it) = people.get_mut(&stored(&row.person)?) {
                it.groups.push(group);
            }
        }
        let live = format!("SELECT * FROM grants WHERE ended_at IS NULL AND person IN {chosen} ORDER BY id");
        for row in database.fetch_all::<GrantRow>(of(live)).await? {
            let grant = Grant::try_from(row)?;
            if let Some(it) = people.get_mut(&grant.person) {
                it.grants.push(grant);
            }
        }
        let asked = format!("{SELECT} WHERE r.state = 'pending' AND r.person IN {chosen} ORDER BY r.id");
        for row in database.fetch_all::<RequestRow>(of(asked)).await? {
            let request = Request::try_from(row)?;
            if let Some(it) = people.get_mut(&request.person) {
                it.requests.push(request);
            }
        }
        Ok(people)
    }
}

/// After the one id, up to the other.
type Range = (String, String);

/// Not before any id.
const LAST_ID: &str = "per_g";

fn within(text: String, range: &Range, everybody: bool) -> Query {
    Query::composed(text, Vec::new()).bind(&range.0).bind(&range.1).bind(i64::from(everybody))
}

/// Notes where some people are by the version of what is declared that they were compared with, if that still
/// holds. Another replica may have looked later: what it saw stays.
fn upsert(people: usize) -> String {
    let row = |n: usize| {
        format!(
            "SELECT CAST(${} AS TEXT) AS person, CAST(${} AS BIGINT) AS facts, CAST(${} AS TEXT) AS body \
             FROM catalog WHERE id = 1 AND version = $1",
            3 * n + 2,
            3 * n + 3,
            3 * n + 4
        )
    };
    let rows: Vec<String> = (0..people).map(row).collect();
    format!(
        "INSERT INTO standings (person, facts, body) SELECT person, facts, body FROM ({}) s WHERE true \
         ON CONFLICT (person) DO UPDATE SET facts = excluded.facts \
         WHERE standings.facts < excluded.facts AND standings.body = excluded.body",
        rows.join(" UNION ALL ")
    )
}

fn json<T: serde::Serialize>(it: &T) -> Result<String> {
    serde_json::to_string(it).map_err(|error| Problem::internal(error.to_string()))
}

impl PersonRow {
    fn read(self) -> Result<(PersonId, Somebody)> {
        let unreadable = |_| Problem::internal("where somebody was cannot be read");
        let body = self.body.map(|text| serde_json::from_str(&text)).transpose().map_err(unreadable)?;
        let groups: Option<Vec<String>> =
            self.met_groups.map(|text| serde_json::from_str(&text)).transpose().map_err(unreadable)?;
        let source = self.met_source.unwrap_or_default();
        let row = |group_id| GroupRow { source: source.clone(), group_id, asserted_at: Timestamp::EPOCH };
        let groups = groups.map(|all| all.into_iter().map(row).collect());
        let somebody = Somebody {
            facts: self.facts,
            before: self.known.zip(body),
            met: self.met_catalog.zip(groups),
            groups: Vec::new(),
            grants: Vec::new(),
            requests: Vec::new(),
        };
        Ok((stored(&self.id)?, somebody))
    }
}

/// What was compared: her facts then, those of the last time, and what was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Versions {
    facts: i64,
    known: Option<i64>,
    catalog: i64,
}

/// What is to be done about somebody.
struct Move {
    person: PersonId,
    seen: Versions,
    belonging: Belonging,
    moved: Moved,
    grants: Vec<GrantId>,
    requests: Vec<RequestId>,
}

/// Notes a move, if everything is as it was compared.
struct Follow {
    permit: Permit,
    it: Move,
    /// Nothing where files moved many at once: whoever applied them knows.
    outbox: Option<Outbox>,
}

#[async_trait]
impl Unit for Follow {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let it = &self.it;
        self.confirm(work).await?;
        for grant in &it.grants {
            grants::end(work, *grant, BECAUSE).await?;
        }
        for request in &it.requests {
            request::withdraw_because(work, *request, BECAUSE).await?;
        }
        let moved = it.moved.clone().with(&it.grants, &it.requests);
        moved.record(work, it.person).await?;
        if let Some(outbox) = &self.outbox {
            moved.tell(work, it.person, outbox).await?;
        }
        work.execute(
            sql(
                "INSERT INTO standings (person, facts, body) SELECT id, facts, $2 FROM people WHERE id = $1 \
                 ON CONFLICT (person) DO UPDATE SET facts = excluded.facts, body = excluded.body",
            )
            .bind(it.person)
            .bind(json(&it.belonging)?),
        )
        .await?;
        Ok(())
    }
}

#[derive(sqlx::FromRow)]
struct Now {
    facts: i64,
    known: Option<i64>,
    catalog: i64,
}

impl Follow {
    async fn confirm(&self, work: &mut Work<'_>) -> Result<()> {
        let row: Option<Now> = work
            .fetch_optional(
                sql("SELECT p.facts, w.facts AS known, c.version AS catalog FROM people p \
                     JOIN catalog c ON c.id = 1 LEFT JOIN standings w ON w.person = p.id \
                     WHERE p.id = $1 AND p.status <> 'deactivated'")
                .bind(self.it.person),
            )
            .await?;
        let now = row.map(|row| Versions { facts: row.facts, known: row.known, catalog: row.catalog });
        if now == Some(self.it.seen) {
            return Ok(());
        }
        Err(Problem::conflict(format!("the facts of {} have moved on", self.it.person)))
    }
}

/// Somebody was quicker; the next look sees how it is then.
fn is_overtaken(problem: &Problem) -> bool {
    [ProblemKind::Conflict, ProblemKind::FactsChanged, ProblemKind::NotFound].iter().any(|it| problem.is(*it))
}
