//! `GET /api/v1/sessions`

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Listed, SessionView, address};
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// Whose sessions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    /// A person, by id or e-mail address; one's own where nothing is said.
    pub person: Option<String>,
}

/// The sessions that still work: one's own, or somebody's.
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "identity",
    params(Whose),
    responses(
        (status = 200, description = "The newest first.", body = Listed<SessionView>),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`"),
    )
)]
async fn list_sessions(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Query(whose): Query<Whose>,
) -> Result<Json<Listed<SessionView>>, Problem> {
    let (permit, person) = match whose.person {
        None => (app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?, caller.person),
        Some(person) => {
            let permit = app.gate.authorize(&caller, Action::SeePeople, Resource::People).await?;
            let person = app.identity.find_person(&permit, &address(&person)?).await?.id;
            (permit, person)
        }
    };
    let sessions = app.identity.list_sessions(&permit, person).await?;
    Ok(Json(Listed { items: sessions.into_iter().map(SessionView::from).collect(), next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_sessions))
}
