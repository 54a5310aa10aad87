//! `GET /api/v1/moves`

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::MoveView;
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    identity::PersonAddress,
    policy::{Action, Resource},
};

/// Whose moves.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Whose {
    /// A person's, by id or e-mail address; one's own, and those into and out of one's teams, where nothing
    /// is said.
    pub person: Option<String>,
    /// What follows this one.
    pub cursor: Option<String>,
}

/// Moves, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Listed {
    /// They.
    items: Vec<MoveView>,
    /// The cursor of what follows, where anything does.
    next: Option<String>,
}

/// What people gained and lost when their groups changed, or what files say of these.
///
/// One's own, and those into and out of one's teams, are everybody's to see; those of others take
/// `see-people`.
#[utoipa::path(
    get,
    path = "/moves",
    tag = "identity",
    params(Whose),
    responses(
        (status = 200, description = "The newest first.", body = Listed),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`, with `ids`"),
    )
)]
async fn list_moves(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Query(whose): Query<Whose>,
) -> Result<Json<Listed>, Problem> {
    let after = whose.cursor.as_deref().map(str::parse).transpose().map_err(Problem::invalid)?;
    let (found, next) = match whose.person {
        None => app.gate.own_moves(&caller, after).await?,
        Some(who) => {
            let permit = app.gate.authorize(&caller, Action::SeePeople, Resource::People).await?;
            let address: PersonAddress = who.parse().map_err(Problem::invalid)?;
            let person = app.identity.find_person(&permit, &address).await?.id;
            app.gate.moves_of(&permit, person, after).await?
        }
    };
    let items = found.into_iter().map(MoveView::from).collect();
    Ok(Json(Listed { items, next: next.map(|id| id.to_string()) }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_moves))
}
