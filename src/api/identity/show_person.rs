//! `GET /api/v1/people/{person}`

use std::sync::Arc;

use axum::extract::{Path, State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{PersonView, address};
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// One person.
#[utoipa::path(
    get,
    path = "/people/{person}",
    tag = "identity",
    params(("person" = String, Path, description = "By id or e-mail address.")),
    responses(
        (status = 200, description = "The person.", body = PersonView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`, with `ids`"),
    )
)]
async fn show_person(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
) -> Result<Json<PersonView>, Problem> {
    let permit = app.gate.authorize(&caller, Action::SeePeople, Resource::People).await?;
    let person = app.identity.find_person(&permit, &address(&person)?).await?;
    Ok(Json(PersonView::from(person)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show_person))
}
