//! Rotation tasks.

pub mod confirm;
pub mod done;
pub mod list;
pub mod show;
pub mod unwaive;
pub mod waive;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::App,
    base::{Name, Problem, Result, SecretRef, ids::RotationTaskId},
    identity::AnyCaller,
    policy::{Action, EnvironmentFacts, Resource},
    revocation::{Place, Task, Waiver},
};

/// One secret of a task.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlaceView {
    /// `APPLICATION/ENVIRONMENT[@TEAM]/NAME`.
    pub secret: String,
    /// The team that it belongs to.
    pub team: Option<String>,
    /// What keeps the task open here, in words.
    pub waits_for: Vec<String>,
    /// Who makes new values, where files say so: `vault-static-role`, `webhook`, `ci` or `hand`.
    pub by: Option<String>,
    /// What people have to know to make one.
    pub instructions: Option<String>,
    /// What its rotator fails with, in words.
    pub failed: Option<String>,
}

impl From<&Place> for PlaceView {
    fn from(place: &Place) -> Self {
        let way = place.rotation.as_ref().and_then(crate::catalog::Rotation::way);
        Self {
            secret: place.secret.to_string(),
            team: place.team.as_ref().map(ToString::to_string),
            waits_for: place.waits_for.iter().map(ToString::to_string).collect(),
            by: way.map(|way| way.as_str().to_owned()),
            instructions: way.and_then(|way| way.instructions().map(str::to_owned)),
            failed: place.failed.clone(),
        }
    }
}

/// That a task may wait.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WaiverView {
    /// Its id, `wvr_…`.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Until when (RFC 3339).
    pub until: String,
    /// Who asked, `per_…`.
    pub asked_by: String,
    /// Who else agreed; nothing: nobody yet, and it has no effect.
    pub confirmed_by: Option<String>,
}

impl From<&Waiver> for WaiverView {
    fn from(waiver: &Waiver) -> Self {
        Self {
            id: waiver.id.clone(),
            reason: waiver.reason.clone(),
            until: waiver.until().to_string(),
            asked_by: waiver.asked_by.clone(),
            confirmed_by: waiver.confirmed_by.clone(),
        }
    }
}

/// Work that is open while a value that a leaver knows, or one that is too old, is good for something.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskView {
    /// Its id, `rot_…`.
    pub id: String,
    /// The secret, or the first of several with the same value: `APPLICATION/ENVIRONMENT[@TEAM]/NAME`.
    pub secret: String,
    /// Its secrets: more than one where they have the same value.
    pub places: Vec<PlaceView>,
    /// `open` or `closed`.
    pub state: String,
    /// `required`; `suggested`: nobody waits for it; or `waived`.
    pub standing: String,
    /// `leaver`, `age`, or both.
    pub causes: Vec<String>,
    /// Since when (RFC 3339).
    pub opened_at: String,
    /// By when it should be done.
    pub due_at: String,
    /// Until when.
    pub closed_at: Option<String>,
    /// The leavers that it is about, `per_…`.
    pub people: Vec<String>,
    /// What keeps it open, in words.
    pub waits_for: Vec<String>,
    /// That it may wait, where somebody has asked for that.
    pub waiver: Option<WaiverView>,
}

impl From<&Task> for TaskView {
    fn from(task: &Task) -> Self {
        let secret = task.places.first().map(|place| place.secret.to_string());
        let causes = [("leaver", !task.people.is_empty()), ("age", task.is_aged)];
        Self {
            id: task.id.to_string(),
            secret: secret.unwrap_or_default(),
            places: task.places.iter().map(PlaceView::from).collect(),
            state: if task.closed_at.is_some() { "closed" } else { "open" }.to_owned(),
            standing: task.standing.as_str().to_owned(),
            causes: causes.iter().filter(|(_, is)| *is).map(|(cause, _)| (*cause).to_owned()).collect(),
            opened_at: task.opened_at.to_string(),
            due_at: task.due_at.to_string(),
            closed_at: task.closed_at.map(|at| at.to_string()),
            people: task.people.iter().map(ToString::to_string).collect(),
            waits_for: task.waits_for().map(ToString::to_string).collect(),
            waiver: task.waiver.as_ref().map(WaiverView::from),
        }
    }
}

/// The id of a task in an address.
fn task_id(text: &str) -> Result<RotationTaskId> {
    text.parse().map_err(|_| {
        Problem::not_found("there is no such rotation task")
            .remedy("`portctl rotation list` shows those that there are.")
    })
}

/// Where a secret is, as policy sees it; nothing where no file declares that any more.
async fn environment_of(app: &App, at: &SecretRef) -> Result<Option<EnvironmentFacts>> {
    Ok(app.catalog.snapshot().await?.environment(&at.environment).ok())
}

/// Of these tasks, those that concern the caller, in environments of which she may see the secrets: about
/// secrets of her teams, or of a CI job about those that it makes new values of.
async fn hers(app: &App, caller: &AnyCaller, tasks: Vec<Task>) -> Result<Vec<Task>> {
    let teams: Vec<Name> = match caller {
        AnyCaller::Person(caller) => app.gate.standing(caller).await?.teams,
        AnyCaller::Workload(_) => Vec::new(),
    };
    let concerns = |place: &&Place| match caller {
        AnyCaller::Person(_) => place.is_of(&teams),
        AnyCaller::Workload(caller) => place.is_for(&caller.workload),
    };
    let mut items = Vec::new();
    for task in tasks {
        let Some(place) = task.places.iter().find(concerns) else { continue };
        if let Some(environment) = environment_of(app, &place.secret).await? {
            items.push((task, environment));
        }
    }
    let resource = |(_, at): &(Task, EnvironmentFacts)| Ok(Resource::Environment(at.clone()));
    let allowed = app.gate.allowed(caller, Action::List, items, resource).await?;
    Ok(allowed.into_iter().map(|(task, _)| task).collect())
}

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(list::route())
        .merge(show::route())
        .merge(done::route())
        .merge(waive::route())
        .merge(confirm::route())
        .merge(unwaive::route())
}
