//! `POST /api/v1/leavers/{person}/close`

use std::sync::Arc;

use axum::extract::{Path, State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{LeaverView, show::leaver};
use crate::{
    api::{App, Auth, Json, identity::change_person::ReasonRequest},
    base::Problem,
    policy::{Action, Resource},
};

/// Close by hand what cannot be closed by itself. It stays visible that it was, by whom, and why.
#[utoipa::path(
    post,
    path = "/leavers/{person}/close",
    tag = "leavers",
    params(("person" = String, Path, description = "`per_…` or an e-mail address")),
    request_body = ReasonRequest,
    responses(
        (status = 200, description = "She is closed.", body = LeaverView),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`; `conflict`: she has not left, or is closed already"),
    )
)]
async fn close(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
    Json(body): Json<ReasonRequest>,
) -> Result<Json<LeaverView>, Problem> {
    let permit = app.gate.authorize(&caller, Action::ManagePeople, Resource::People).await?;
    let address = person.parse().map_err(|e: String| Problem::invalid(e))?;
    let id = app.identity.find_person(&permit, &address).await?.id;
    app.gate
        .act(&caller, Action::ManagePeople, Resource::People, |permit| {
            app.revocation.close(permit, id, &body.reason)
        })
        .await?;
    Ok(Json(LeaverView::from(&leaver(&app, &caller, &id.to_string()).await?)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(close))
}
