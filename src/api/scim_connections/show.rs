//! `GET /api/v1/scim-connections/{connection}`, its `groups`, and its `unlinked` people

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ConnectionView, name};
use crate::{
    api::{App, Auth, Json},
    base::{Problem, Timestamp},
    identity::scim::{Refusal, ScimGroupLine, UnlinkedPerson},
    policy::{Action, Resource},
};

/// A connection with everything around it.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ConnectionDetails {
    /// As it is set.
    #[serde(flatten)]
    pub connection: ConnectionView,
    /// When each of its live tokens was made, the newest first.
    #[schema(value_type = Vec<String>)]
    pub tokens: Vec<Timestamp>,
    /// How many people it has.
    pub people: i64,
    /// Of them, those who are linked with an account.
    pub linked: i64,
    /// How many groups it has.
    pub group_count: i64,
    /// How many members these have together.
    pub member_count: i64,
    /// What was refused to it lately, the newest first.
    pub refused: Vec<RefusalView>,
}

/// An operation that was refused.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct RefusalView {
    /// Method and kind of resource.
    pub operation: String,
    /// Which resource.
    pub resource: String,
    /// Why, and what to do.
    pub because: String,
    /// When it was first refused.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// How often.
    pub times: i64,
    /// When it was last refused.
    #[schema(value_type = String)]
    pub last_at: Timestamp,
}

impl From<Refusal> for RefusalView {
    fn from(it: Refusal) -> Self {
        Self {
            operation: it.operation,
            resource: it.resource,
            because: it.detail,
            at: Timestamp::from_millis(it.at),
            times: it.times,
            last_at: Timestamp::from_millis(it.last_at),
        }
    }
}

/// Groups of a connection.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ConnectionGroupsView {
    /// By name.
    pub items: Vec<ConnectionGroupView>,
}

/// A group of a connection.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ConnectionGroupView {
    /// What files declare as `id` of a group whose `provider` is the connection.
    pub group: String,
    /// Its id in SCIM.
    pub id: String,
    /// What it is called, for display; decides nothing.
    pub display_name: String,
    /// How many are in it.
    pub members: i64,
}

impl From<ScimGroupLine> for ConnectionGroupView {
    fn from(it: ScimGroupLine) -> Self {
        Self { group: it.group_id, id: it.id, display_name: it.display_name, members: it.members }
    }
}

/// People of a connection whom no account is known for.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct UnlinkedView {
    /// They.
    pub items: Vec<UnlinkedPersonView>,
}

/// One of them.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct UnlinkedPersonView {
    /// Her id in SCIM.
    pub id: String,
    /// What she is called by.
    pub user_name: String,
    /// The id that the identity provider has for her.
    pub external_id: Option<String>,
    /// Whether she is said to work here.
    pub active: bool,
    /// What to do.
    pub remedy: String,
}

impl UnlinkedPersonView {
    fn of(it: UnlinkedPerson, connection: &str) -> Self {
        let remedy = format!(
            "Let the identity provider send the attribute that links: `portctl scim connection show {connection}`."
        );
        Self { id: it.id, user_name: it.user_name, external_id: it.external_id, active: it.active, remedy }
    }
}

/// A connection with its tokens' ages, its numbers, and what was refused to it.
#[utoipa::path(
    get,
    path = "/scim-connections/{connection}",
    tag = "scim",
    params(("connection" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "It.", body = ConnectionDetails),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn show_connection(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(connection): Path<String>,
) -> Result<Json<ConnectionDetails>, Problem> {
    let permit = app.gate.authorize(&caller, Action::ManageConnections, Resource::Connections).await?;
    let shown = app.scim.show_connection(&permit, &name(&connection)?).await?;
    Ok(Json(ConnectionDetails {
        connection: ConnectionView::of(&app, &shown.connection),
        tokens: shown.tokens.into_iter().map(|it| it.created_at).collect(),
        people: shown.counts.people,
        linked: shown.counts.linked,
        group_count: shown.counts.groups,
        member_count: shown.counts.members,
        refused: shown.refusals.into_iter().map(RefusalView::from).collect(),
    }))
}

/// The groups of a connection, each with the id for which files declare an alias.
#[utoipa::path(
    get,
    path = "/scim-connections/{connection}/groups",
    tag = "scim",
    params(("connection" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "A thousand at most.", body = ConnectionGroupsView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn connection_groups(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(connection): Path<String>,
) -> Result<Json<ConnectionGroupsView>, Problem> {
    let permit = app.gate.authorize(&caller, Action::ManageConnections, Resource::Connections).await?;
    let groups = app.scim.connection_groups(&permit, &name(&connection)?).await?;
    let items = groups.into_iter().map(ConnectionGroupView::from).collect();
    Ok(Json(ConnectionGroupsView { items }))
}

/// People of a connection whom no account is known for, so that they cannot sign in.
#[utoipa::path(
    get,
    path = "/scim-connections/{connection}/unlinked",
    tag = "scim",
    params(("connection" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "A thousand at most.", body = UnlinkedView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn unlinked_people(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(connection): Path<String>,
) -> Result<Json<UnlinkedView>, Problem> {
    let permit = app.gate.authorize(&caller, Action::ManageConnections, Resource::Connections).await?;
    let people = app.scim.unlinked(&permit, &name(&connection)?).await?;
    let items = people.into_iter().map(|it| UnlinkedPersonView::of(it, &connection)).collect();
    Ok(Json(UnlinkedView { items }))
}

/// These endpoints.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(show_connection))
        .routes(routes!(connection_groups))
        .routes(routes!(unlinked_people))
}
