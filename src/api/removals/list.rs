//! `GET /api/v1/removals/held` and `GET /api/v1/removals/expected`

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ExpectedView, HeldView};
use crate::{
    api::{App, Auth, Json, identity::Listed},
    base::Problem,
    policy::{Action, Resource},
};

/// Everybody who is held, those who were first; 1000 at most.
#[utoipa::path(
    get,
    path = "/removals/held",
    tag = "leavers",
    responses(
        (status = 200, description = "Suspended, and waiting for a decision.", body = Listed<HeldView>),
        (status = 403, description = "`denied`"),
    )
)]
async fn held_removals(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
) -> Result<Json<Listed<HeldView>>, Problem> {
    let permit = app.gate.authorize(&caller, Action::SeePeople, Resource::People).await?;
    let held = app.identity.held_removals(&permit).await?;
    Ok(Json(Listed { items: held.into_iter().map(HeldView::from).collect(), next: None }))
}

/// Announced numbers that still count.
#[utoipa::path(
    get,
    path = "/removals/expected",
    tag = "leavers",
    responses(
        (status = 200, description = "The earliest to end first.", body = Listed<ExpectedView>),
        (status = 403, description = "`denied`"),
    )
)]
async fn expected_removals(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
) -> Result<Json<Listed<ExpectedView>>, Problem> {
    let permit = app.gate.authorize(&caller, Action::SeePeople, Resource::People).await?;
    let expected = app.identity.expected_removals(&permit).await?;
    Ok(Json(Listed { items: expected.into_iter().map(ExpectedView::from).collect(), next: None }))
}

/// These endpoints.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(held_removals)).routes(routes!(expected_removals))
}
