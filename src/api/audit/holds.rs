//! `GET` and `POST /audit/v1/holds`, `POST /audit/v1/holds/{hold}/release`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth, Json},
    audit::retention::{Hold, Holds},
    base::{
        Problem,
        ids::{HoldId, PersonId},
    },
    identity::PersonAddress,
    policy::{Action, Permit, Resource},
};

/// What stands, the oldest first.
#[derive(Serialize, ToSchema)]
pub struct HoldsView {
    /// They.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Hold>,
}

/// Of whom nothing is to be forgotten, and why.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// A person by id or e-mail address; `all` for everybody.
    pub person: String,
    /// In the words of whoever does it; at most 4 KiB, kept in the log.
    pub reason: String,
}

/// A hold that was made.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct HeldView {
    /// Which.
    #[schema(value_type = String)]
    pub hold: HoldId,
}

/// Why.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// In the words of whoever does it; at most 4 KiB, kept in the log.
    pub reason: String,
}

fn holds(app: &App) -> Holds {
    Holds::new(app.database.clone(), app.log.clone())
}

/// Holds that stand.
#[utoipa::path(
    get,
    path = "/audit/v1/holds",
    tag = "audit",
    responses(
        (status = 200, description = "A thousand at most.", body = HoldsView),
        (status = 403, description = "`denied`"),
    )
)]
async fn list(State(app): State<Arc<App>>, Auth(caller): Auth) -> Result<Json<HoldsView>, Problem> {
    let permit = app.gate.authorize(&caller, Action::ReadLog, Resource::Log).await?;
    Ok(Json(HoldsView { items: holds(&app).standing(&permit).await? }))
}

/// Let nothing be forgotten, of one person or of everybody, until the hold is released.
#[utoipa::path(
    post,
    path = "/audit/v1/holds",
    tag = "audit",
    request_body = HoldRequest,
    responses(
        (status = 201, description = "It stands.", body = HeldView),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn hold(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Json(body): Json<HoldRequest>,
) -> Result<(StatusCode, Json<HeldView>), Problem> {
    let hold = app
        .gate
        .act(&caller, Action::Forget, Resource::Log, |permit| async {
            let person = covered(&app, &permit, &body.person).await?;
            holds(&app).hold(permit, person, &body.reason).await
        })
        .await?;
    Ok((StatusCode::CREATED, Json(HeldView { hold })))
}

async fn covered(app: &App, permit: &Permit, who: &str) -> Result<Option<PersonId>, Problem> {
    if who == "all" {
        return Ok(None);
    }
    let address: PersonAddress = who.parse().map_err(Problem::invalid)?;
    Ok(Some(app.identity.find_person(permit, &address).await?.id))
}

/// End a hold.
#[utoipa::path(
    post,
    path = "/audit/v1/holds/{hold}/release",
    tag = "audit",
    params(("hold" = String, Path, description = "Which: `hld_…`.")),
    request_body = ReleaseRequest,
    responses(
        (status = 204, description = "It is released."),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: it was released before"),
    )
)]
async fn release(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(hold): Path<String>,
    Json(body): Json<ReleaseRequest>,
) -> Result<StatusCode, Problem> {
    let hold: HoldId = hold.parse().map_err(Problem::invalid)?;
    app.gate
        .act(&caller, Action::Forget, Resource::Log, |permit| async {
            holds(&app).release(permit, hold, &body.reason).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// These endpoints.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, hold)).routes(routes!(release))
}
