//! `GET /api/v1/leavers/{person}`

use std::sync::Arc;

use axum::extract::{Path, State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::LeaverView;
use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result},
    identity::Caller,
    policy::{Action, Resource},
    revocation::Leaver,
};

/// The leaver whom `whom`, an id or an e-mail address, means.
///
/// # Errors
/// As the endpoint below.
pub async fn leaver(app: &App, caller: &Caller, whom: &str) -> Result<Leaver> {
    let address = whom.parse().map_err(|e: String| Problem::invalid(e))?;
    let permit = app.gate.authorize(caller, Action::SeePeople, Resource::People).await?;
    let person = app.identity.find_person(&permit, &address).await?;
    app.revocation.leaver(permit, person.id).await
}

/// What is left of somebody who has left, and what was done since.
#[utoipa::path(
    get,
    path = "/leavers/{person}",
    tag = "leavers",
    params(("person" = String, Path, description = "`per_…` or an e-mail address")),
    responses(
        (status = 200, description = "Counted down to zero.", body = LeaverView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`: two people have that address; `conflict`: she has not left."),
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
) -> Result<Json<LeaverView>, Problem> {
    let leaver = leaver(&app, &caller, &person).await?;
    Ok(Json(LeaverView::from(&leaver)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}
