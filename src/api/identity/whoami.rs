//! `GET /api/v1/whoami`

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::PersonView;
use crate::{
    api::{AnyAuth, App, Json, moves::MoveView, requests::GrantView},
    base::{Name, Problem, Timestamp, ids::SessionId},
    identity::{AnyCaller, Caller, Identity, WorkloadCaller},
    policy::{Action, Resource},
};

/// How many moves are shown.
const MOVES: usize = 5;

/// Who calls, and what she is here.
#[derive(Serialize, ToSchema)]
pub struct WhoamiView {
    /// Herself.
    pub person: PersonView,
    /// The session that she calls by.
    pub session: CallingSession,
    /// Her groups as we received them; with the alias that files declare, where one does.
    pub groups: Vec<GroupView>,
    /// Her teams.
    #[schema(value_type = Vec<String>)]
    pub teams: Vec<Name>,
    /// How she stands to each trust scope, and why.
    #[schema(value_type = Vec<Object>)]
    pub scopes: Vec<crate::policy::ScopeStanding>,
    /// Her live grants.
    pub grants: Vec<GrantView>,
    /// What she gained and lost the last times that her groups changed, or what files say of these.
    pub moves: Vec<MoveView>,
    /// Whom to ask.
    pub contact: String,
}

/// Which workload calls, and what it is here.
#[derive(Serialize, ToSchema)]
pub struct WorkloadAmI {
    /// Its name.
    #[schema(value_type = String)]
    pub workload: Name,
    /// Who issued its own token: a name of the server's configuration.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
    /// When its token here was issued.
    #[schema(value_type = String)]
    pub issued_at: Timestamp,
    /// When it ends.
    #[schema(value_type = String)]
    pub ends_at: Timestamp,
    /// The one trust scope that the token is good for; all of the workload's where nothing is said.
    #[schema(value_type = Option<String>)]
    pub scope: Option<Name>,
    /// How it stands to each trust scope that names it, and why.
    #[schema(value_type = Vec<Object>)]
    pub scopes: Vec<crate::policy::ScopeStanding>,
    /// Whom to ask.
    pub contact: String,
}

/// Who calls: a person or a workload.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Somebody {
    /// A person.
    Person(Box<WhoamiView>),
    /// A workload.
    Workload(WorkloadAmI),
}

/// The session that somebody calls by.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CallingSession {
    /// Which.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// `browser`, `cli` or `recovery`.
    pub kind: String,
    /// The browser or the machine.
    pub label: String,
    /// When she proved who she is.
    #[schema(value_type = String)]
    pub authenticated_at: Timestamp,
    /// When it ends whatever happens.
    #[schema(value_type = String)]
    pub ends_at: Timestamp,
}

/// A group as its source names it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// The identity provider's name.
    pub source: String,
    /// The group's id or name there.
    pub id: String,
    /// What files call it.
    pub alias: Option<String>,
    /// When the source last said that she is in it.
    #[schema(value_type = String)]
    pub asserted_at: Timestamp,
}

/// What identity knows of the caller; `alias` tells what files call a group.
pub(crate) async fn who(
    identity: &Identity,
    caller: &Caller,
    alias: impl Fn(&str, &str) -> Option<String>,
) -> Result<(PersonView, CallingSession, Vec<GroupView>), Problem> {
    let row = identity.person_facts(caller).await?;
    let person = PersonView::from(identity.person(caller.person).await?);
    let session = CallingSession {
        id: row.session.id,
        kind: row.session.kind.as_str().to_owned(),
        label: row.session.label,
        authenticated_at: row.session.authenticated_at,
        ends_at: row.session.ends_at,
    };
    let groups = row
        .memberships
        .into_iter()
        .map(|group| GroupView {
            alias: alias(&group.source, &group.group_id),
            source: group.source,
            id: group.group_id,
            asserted_at: group.asserted_at,
        })
        .collect();
    Ok((person, session, groups))
}

/// Who one is here: groups, teams, trust scopes and why one is in each.
#[utoipa::path(
    get,
    path = "/whoami",
    tag = "identity",
    responses(
        (status = 200, description = "The caller.", body = Somebody),
        (status = 401, description = "`unauthenticated`"),
        (status = 403, description = "`person-suspended`, `person-deactivated`"),
    )
)]
async fn whoami(State(app): State<Arc<App>>, AnyAuth(caller): AnyAuth) -> Result<Json<Somebody>, Problem> {
    Ok(Json(match caller {
        AnyCaller::Person(caller) => Somebody::Person(Box::new(view(&app, &caller).await?)),
        AnyCaller::Workload(caller) => Somebody::Workload(view_of_workload(&app, caller).await?),
    }))
}

async fn view_of_workload(app: &App, caller: WorkloadCaller) -> Result<WorkloadAmI, Problem> {
    app.gate.authorize(AnyCaller::Workload(caller.clone()), Action::SeeOwn, Resource::Own).await?;
    let standing = app.gate.standing_of_workload(&caller).await?;
    Ok(WorkloadAmI {
        workload: caller.workload,
        issuer: standing.token.issuer,
        subject: standing.token.subject,
        issued_at: standing.token.issued_at,
        ends_at: standing.token.ends_at,
        scope: standing.token.scope,
        scopes: standing.scopes,
        contact: app.config.contact.clone(),
    })
}

/// The same for the page.
pub(crate) async fn view(app: &App, caller: &Caller) -> Result<WhoamiView, Problem> {
    let permit = app.gate.authorize(caller, Action::SeeOwn, Resource::Own).await?;
    let snapshot = app.catalog.snapshot().await?;
    let alias = |source: &str, id: &str| snapshot.alias(source, id).map(ToString::to_string);
    let (person, session, groups) = who(&app.identity, caller, alias).await?;
    let standing = app.gate.standing(caller).await?;
    let (moves, _) = app.gate.moves_of(&permit, caller.person, None).await?;
    Ok(WhoamiView {
        person,
        session,
        groups,
        teams: standing.teams,
        scopes: standing.scopes,
        grants: standing.grants.iter().map(GrantView::from).collect(),
        moves: moves.into_iter().take(MOVES).map(MoveView::from).collect(),
        contact: app.config.contact.clone(),
    })
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(whoami))
}
