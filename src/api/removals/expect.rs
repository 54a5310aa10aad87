//! `POST /api/v1/removals/expected`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result, Timestamp},
    identity::Announcement,
    policy::{Action, Resource},
};

/// So many people are going to be removed.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectRequest {
    /// How many.
    pub number: u32,
    /// Until when it counts.
    #[schema(value_type = String)]
    pub until: Timestamp,
    /// By which connection; any where it is left out.
    #[serde(default)]
    pub connection: Option<String>,
    /// Why.
    pub reason: String,
}

impl ExpectRequest {
    fn read(self) -> Result<Announcement> {
        let connection = self.connection.map(|name| name.parse()).transpose().map_err(Problem::invalid)?;
        Ok(Announcement { number: self.number, until: self.until, connection, reason: self.reason })
    }
}

/// What was announced.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Announced {
    /// Its id, `xpt_…`.
    pub id: String,
}

/// Announce that people are going to be removed: so many pass the breaker, beyond what passes by itself.
#[utoipa::path(
    post,
    path = "/removals/expected",
    tag = "leavers",
    request_body = ExpectRequest,
    responses(
        (status = 201, description = "So many pass.", body = Announced),
        (status = 400, description = "`invalid-request`: no number, no reason, a time that is over, no such connection"),
        (status = 403, description = "`denied`"),
    )
)]
async fn expect_removals(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Json(body): Json<ExpectRequest>,
) -> Result<(StatusCode, Json<Announced>), Problem> {
    let what = body.read()?;
    let id = app
        .gate
        .act(&caller, Action::ManagePeople, Resource::People, |permit| {
            app.identity.expect_removals(permit, what.clone())
        })
        .await?;
    Ok((StatusCode::CREATED, Json(Announced { id: id.to_string() })))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(expect_removals))
}
