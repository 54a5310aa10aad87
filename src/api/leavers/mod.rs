//! People who have left, and what is left of what they held.

pub mod list;
pub mod show;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::{App, requests::PersonView, rotation::TaskView},
    base::Timestamp,
    revocation::{Leaver, LeaverRow, Left, StepTaken},
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
    /// Secrets that have to be changed.
    pub rotation_tasks: i64,
}

impl From<Left> for LeftView {
    fn from(left: Left) -> Self {
        Self {
            sessions: left.sessions,
            requests: left.requests,
            grants: left.grants,
            leases: left.leases,
            rotation_tasks: left.rotation_tasks,
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
    /// When nothing was left.
    pub closed_at: Option<String>,
    /// How much is left.
    pub left: LeftView,
}

impl From<&LeaverRow> for LeaverLine {
    fn from(row: &LeaverRow) -> Self {
        Self {
            person: PersonView { id: row.id.clone(), display_name: row.display_name.clone() },
            since: time(row.since),
            closed_at: row.closed_at.map(time),
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
}

impl From<&Leaver> for LeaverView {
    fn from(leaver: &Leaver) -> Self {
        Self {
            line: (&leaver.row).into(),
            steps: leaver.steps.iter().map(StepView::from).collect(),
            tasks: leaver.tasks.iter().map(TaskView::from).collect(),
        }
    }
}

fn time(millis: i64) -> String {
    Timestamp::from_millis(millis).to_string()
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(list::route()).merge(show::route())
}
