//! Rotation tasks as they stand.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Obstacle, Waiver,
    facts::{PlaceFacts, TaskFacts},
    rows::{CauseRow, FailureRow, failure_query, lead_of},
    rules::{rule_of, strictest},
};
use crate::{
    access::stored,
    base::{
        Name, Problem, Result, SecretRef, Timestamp,
        ids::{PersonId, RotationTaskId},
    },
    catalog::{self, Snapshot},
    policy::{AfterLeaving, ScopeRotation},
    store::{Database, sql},
};

/// What a task asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It has to be done.
    Required,
    /// It would be good to do it; nobody waits for it.
    Suggested,
    /// Two people have agreed that it may wait.
    Waived,
}

impl Standing {
    /// As it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Suggested => "suggested",
            Self::Waived => "waived",
        }
    }
}

/// A rotation task as it stands.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its id.
    pub id: RotationTaskId,
    /// Its secrets: one, or all that have the same value; never none.
    pub places: Vec<Place>,
    /// What it asks for.
    pub standing: Standing,
    /// Since when.
    pub opened_at: Timestamp,
    /// By when it should be done.
    pub due_at: Timestamp,
    /// Until when, where it is closed.
    pub closed_at: Option<Timestamp>,
    /// The leavers it is about.
    pub people: Vec<PersonId>,
    /// Whether a value is older than files allow.
    pub is_aged: bool,
    /// That it may wait, where somebody has asked for that.
    pub waiver: Option<Waiver>,
}

/// One secret of a task.
#[derive(Clone, Debug)]
pub struct Place {
    /// Which.
    pub secret: SecretRef,
    /// The team that it belongs to.
    pub team: Option<Name>,
    /// What keeps the task open here; nothing for a closed one.
    pub waits_for: Vec<Obstacle>,
    /// How it gets new values, where files say so.
    pub rotation: Option<catalog::Rotation>,
    /// What its rotator has failed with, and how often.
    pub failed: Option<String>,
}

impl Task {
    /// What keeps it open, over all of its secrets.
    pub fn waits_for(&self) -> impl Iterator<Item = &Obstacle> {
        self.places.iter().flat_map(|place| &place.waits_for)
    }
}

impl Place {
    /// Whether the secret belongs to one of these teams.
    #[must_use]
    pub fn is_of(&self, teams: &[Name]) -> bool {
        self.team.as_ref().is_some_and(|team| teams.contains(team))
    }

    /// Whether the secret gets its new values from a CI job that signs in as this workload.
    #[must_use]
    pub fn is_for(&self, workload: &Name) -> bool {
        let way = self.rotation.as_ref().and_then(catalog::Rotation::way);
        matches!(way, Some(catalog::Way::Ci(job)) if job.workload == *workload)
    }
}

/// What the causes of a task ask for, and by when.
pub(super) fn demand(declared: &Snapshot, facts: &TaskFacts) -> (AfterLeaving, Timestamp) {
    let usual = ScopeRotation::default();
    let mut all: Vec<(ScopeRotation, i64)> = facts.ages.iter().map(|age| (usual, age.since)).collect();
    let mut known: BTreeMap<(&str, &[u8]), Vec<&CauseRow>> = BTreeMap::new();
    for cause in &facts.causes {
        known.entry((&cause.person, &cause.fingerprint)).or_default().push(cause);
    }
    all.extend(known.values().map(|rows| {
        let rule = strictest(rows.iter().map(|row| rule_of(declared, row.scope.as_deref())));
        (rule, rows.iter().map(|row| row.since).min().unwrap_or_default())
    }));
    let most = all.iter().map(|(rule, _)| rule.after_leaving).max().unwrap_or(usual.after_leaving);
    let due = all
        .iter()
        .filter(|(rule, _)| rule.after_leaving == most)
        .map(|(rule, since)| Timestamp::from_millis(*since).after(rule.within))
        .min();
    (most, due.unwrap_or(Timestamp::EPOCH))
}

impl Task {
    fn of(declared: &Snapshot, lead: RotationTaskId, facts: &TaskFacts, failures: &Failures) -> Result<Self> {
        let (demand, due_at) = demand(declared, facts);
        let is_open = facts.is_open();
        let waived = facts.waiver.as_ref().is_some_and(|it| it.confirmed_by.is_some());
        let place = |it: &PlaceFacts| Place {
            team: declared.owner_of(&it.at).cloned(),
            waits_for: if is_open { facts.obstacles_at(declared, it) } else { Vec::new() },
            rotation: declared.rotation(&it.at).cloned(),
            failed: failures.get(&it.secret.id).map(ToString::to_string),
            secret: it.at.clone(),
        };
        let opened_at = facts.places.iter().map(|it| it.row.opened_at).min().unwrap_or_default();
        let closed_at = facts.places.iter().filter_map(|it| it.row.closed_at).max();
        Ok(Self {
            id: lead,
            places: facts.places.iter().map(place).collect(),
            standing: match demand {
                _ if waived => Standing::Waived,
                AfterLeaving::Requires => Standing::Required,
                AfterLeaving::Suggests | AfterLeaving::Ignores => Standing::Suggested,
            },
            opened_at: Timestamp::from_millis(opened_at),
            due_at,
            closed_at: closed_at.filter(|_| !is_open).map(Timestamp::from_millis),
            people: facts.people()?.into_iter().collect(),
            is_aged: !facts.ages.is_empty(),
            waiver: facts.waiver.clone(),
        })
    }
}

/// By secret.
type Failures = BTreeMap<String, FailureRow>;

impl std::fmt::Display for FailureRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let next = Timestamp::from_millis(self.next_at);
        write!(f, "{} (failed {} times; tried again at {next})", self.last_error, self.attempts)
    }
}

/// Tasks in a state, of a leaver, or all: those that have to be done first, then the newest; 500 at most.
pub(in crate::revocation) async fn list(
    database: &Database,
    declared: &Snapshot,
    state: Option<&str>,
    of: Option<PersonId>,
) -> Result<Vec<Task>> {
    let rows: Vec<(String,)> = database
        .fetch_all(
            sql("SELECT l.id FROM rotation_tasks l WHERE l.bundle IS NULL AND l.state = COALESCE($1, l.state) \
                 AND (CAST($2 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM rotation_tasks t \
                     JOIN rotation_causes c ON c.task = t.id WHERE (t.id = l.id OR t.bundle = l.id) AND c.person = $2)) \
                 ORDER BY l.opened_at DESC, l.id DESC LIMIT 500")
            .bind(state)
            .bind(of),
        )
        .await?;
    let mut tasks = Vec::with_capacity(rows.len());
    for (lead,) in rows {
        tasks.extend(read(database, declared, &lead).await?);
    }
    tasks.sort_by_key(|task| task.standing);
    Ok(tasks)
}

/// One task, whichever of those that are one with it is named.
pub(super) async fn one(database: &Database, declared: &Snapshot, task: RotationTaskId) -> Result<Task> {
    let lead = lead_of(database, task).await?;
    let found = match &lead {
        Some(lead) => read(database, declared, lead).await?,
        None => None,
    };
    found.ok_or_else(|| no_such(task))
}

pub(super) fn no_such(task: RotationTaskId) -> Problem {
    Problem::not_found(format!("there is no rotation task {task}"))
        .remedy("`portctl rotation list` shows those that there are.")
}

async fn read(database: &Database, declared: &Snapshot, lead: &str) -> Result<Option<Task>> {
    let Some(facts) = TaskFacts::read(database, lead).await? else { return Ok(None) };
    let mut failures = Failures::new();
    for place in &facts.places {
        let row: Option<FailureRow> = database.fetch_optional(failure_query(&place.secret.id)).await?;
        failures.extend(row.map(|row| (place.secret.id.clone(), row)));
    }
    Task::of(declared, stored(lead)?, &facts, &failures).map(Some)
}

/// Open tasks that nothing seems to stand in the way of.
pub(in crate::revocation) async fn closable(
    database: &Database,
    declared: &Snapshot,
) -> Result<Vec<RotationTaskId>> {
    // Most tasks wait for a new value: these are not looked at one by one.
    let changed: Vec<(String,)> = database
        .fetch_all(sql(
            "SELECT l.id FROM rotation_tasks l WHERE l.bundle IS NULL AND l.state = 'open' AND NOT EXISTS \
             (SELECT 1 FROM rotation_tasks t JOIN secrets s ON s.id = t.secret \
                 JOIN versions v ON v.secret = s.id AND v.number = s.current_number AND v.state = 'live' \
                 JOIN rotation_causes c ON c.task = t.id AND c.fingerprint = v.fingerprint \
                 WHERE t.id = l.id OR t.bundle = l.id)",
        ))
        .await?;
    let mut found = Vec::new();
    for (lead,) in changed {
        let Some(facts) = TaskFacts::read(database, &lead).await? else { continue };
        if facts.obstacles(declared).is_empty() {
            found.push(stored(&lead)?);
        }
    }
    Ok(found)
}

/// How long before it is due a task is told of.
pub(super) const SOON: Duration = Duration::from_hours(24);

/// Open tasks that have to be done.
pub(super) async fn required(database: &Database, declared: &Snapshot) -> Result<Vec<Task>> {
    let tasks = list(database, declared, Some("open"), None).await?;
    Ok(tasks.into_iter().filter(|task| task.standing == Standing::Required).collect())
}
