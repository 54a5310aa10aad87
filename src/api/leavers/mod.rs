//! People who have left, and what is left of what they held.

pub mod close;
pub mod list;
pub mod preview;
pub mod show;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::{App, requests::PersonView, rotation::TaskView},
    base::Timestamp,
    revocation::{Delay, HeldThing, Leaver, LeaverRow, Left, StepTaken},
};

/// How much is left.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct LeftView {
    /// Sessions that have not ended.
    pub sessions: i64,
    /// Requests that are pending.
    pub requests: i64,
    /// Grants that have not ended.
    pub grants: i64,
    /// Leases that the engine has not taken back yet.
    pub leases: i64,
    /// Rotation tasks that have to be done.
    pub rotation_tasks: i64,
    /// Rotation tasks that may wait: these hold nothing up.
    pub waived: i64,
}

impl From<Left> for LeftView {
    fn from(left: Left) -> Self {
        Self {
            sessions: left.sessions,
            requests: left.requests,
            grants: left.grants,
            leases: left.leases,
            rotation_tasks: left.rotation_tasks,
            waived: left.waived,
        }
    }
}

/// A leaver in the list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LeaverLine {
    /// Who.
    pub person: PersonView,
    /// Since when (RFC 3339).
    pub since: String,
    /// When she was closed.
    pub closed_at: Option<String>,
    /// How: `nothing-left`, `by-hand` by somebody who said why, or `came-back`.
    pub outcome: Option<String>,
    /// Who closed her by hand.
    pub closed_by: Option<String>,
    /// Why she was closed by hand.
    pub closed_because: Option<String>,
    /// Whether she has come back since: only what she knew is still left of it then.
    pub came_back: bool,
    /// How much is left.
    pub left: LeftView,
}

impl From<&LeaverRow> for LeaverLine {
    fn from(row: &LeaverRow) -> Self {
        Self {
            person: PersonView { id: row.id.clone(), display_name: row.display_name.clone() },
            since: time(row.since),
            closed_at: row.closed_at.map(time),
            outcome: row.outcome.clone().filter(|_| row.closed_at.is_some()),
            closed_by: row.closed_by.clone().filter(|_| row.closed_at.is_some()),
            closed_because: row.closed_because.clone().filter(|_| row.closed_at.is_some()),
            came_back: row.came_back,
            left: row.left.into(),
        }
    }
}

/// One thing that was done about a leaver.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StepView {
    /// When (RFC 3339).
    pub at: String,
    /// What, as the log names it: `grant.ended`, `rotation.opened`, …
    pub action: String,
    /// By whom: `per_…` or `service/…`.
    pub actor: String,
    /// To which secret or environment, where it was one.
    pub resource: Option<String>,
    /// The index of the entry in the log.
    pub entry: i64,
}

impl From<&StepTaken> for StepView {
    fn from(step: &StepTaken) -> Self {
        let parts = [&step.application, &step.environment, &step.secret];
        let resource: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        Self {
            at: time(step.time),
            action: step.action.clone(),
            actor: step.actor.clone(),
            resource: (!resource.is_empty()).then(|| resource.join("/")),
            entry: step.entry,
        }
    }
}

/// One thing that she held when she left.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HeldThingView {
    /// What sort: `session`, `request`, `grant`, `lease`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What it was, in words.
    pub what: String,
    /// Since when she had it.
    pub began_at: String,
    /// When it died. Null while it waits to be tidied up, and works no more; a lease may work until its engine
    /// has answered.
    pub ended_at: Option<String>,
    /// Why it ended.
    pub because: Option<String>,
}

impl From<&HeldThing> for HeldThingView {
    fn from(it: &HeldThing) -> Self {
        Self {
            kind: it.kind.clone(),
            id: it.id.clone(),
            what: it.what.clone(),
            began_at: time(it.began_at),
            ended_at: it.ended_at.map(time),
            because: it.because.clone(),
        }
    }
}

/// A step that could not be taken yet.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DelayView {
    /// What sort of step: `end-grant`, `revoke-lease`, …
    pub step: String,
    /// What it is about.
    pub thing: String,
    /// How often it was tried.
    pub attempts: i64,
    /// Since when.
    pub since: String,
    /// When it was last tried.
    pub last_at: String,
    /// What stood in its way the last time.
    pub last_error: String,
}

impl From<&Delay> for DelayView {
    fn from(it: &Delay) -> Self {
        Self {
            step: it.step.clone(),
            thing: it.thing.clone(),
            attempts: it.attempts,
            since: time(it.since),
            last_at: time(it.last_at),
            last_error: it.last_error.clone(),
        }
    }
}

/// A leaver with everything there is to say.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LeaverView {
    /// Who, since when, how much is left.
    #[serde(flatten)]
    pub line: LeaverLine,
    /// What was done since she left, the oldest first.
    pub steps: Vec<StepView>,
    /// Her rotation tasks since she left, open and closed.
    pub tasks: Vec<TaskView>,
    /// What she held, and when each of it died.
    pub held: Vec<HeldThingView>,
    /// Steps that could not be taken yet, and why.
    pub delays: Vec<DelayView>,
}

impl From<&Leaver> for LeaverView {
    fn from(leaver: &Leaver) -> Self {
        Self {
            line: (&leaver.row).into(),
            steps: leaver.steps.iter().map(StepView::from).collect(),
            tasks: leaver.tasks.iter().map(TaskView::from).collect(),
            held: leaver.held.iter().map(HeldThingView::from).collect(),
            delays: leaver.delays.iter().map(DelayView::from).collect(),
        }
    }
}

fn time(millis: i64) -> String {
    Timestamp::from_millis(millis).to_string()
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(list::route())
        .merge(show::route())
        .merge(preview::route())
        .merge(close::route())
}
