//! `POST /api/v1/step-ups`

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::LoginView;
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    identity::StepUpWish,
    policy::{Action, Resource},
};

/// A command line that is signed in and wants its person to confirm who she is (RFC 9470).
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpRequest {
    /// PKCE S256 challenge.
    pub challenge: String,
    /// The port on 127.0.0.1 that it listens on.
    pub port: u16,
    /// What it recognises its own wish by: 16 to 128 characters of base64url.
    pub state: String,
    /// The authentication context classes of which one is needed, separated by spaces, as the denial said.
    #[serde(default)]
    pub acr_values: String,
    /// The oldest sign-in at the provider that will do, in seconds, as the denial said.
    #[serde(default)]
    pub max_age: Option<u64>,
}

/// Begin confirming who a command line's person is.
#[utoipa::path(
    post,
    path = "/step-ups",
    tag = "identity",
    request_body = StepUpRequest,
    responses(
        (status = 201, description = "It waits for her to confirm on the page.", body = LoginView),
        (status = 400, description = "`invalid-request`"),
        (status = 404, description = "`not-found`: the caller is no command line"),
        (status = 429, description = "`rate-limited`"),
    )
)]
async fn begin_step_up(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Json(body): Json<StepUpRequest>,
) -> Result<(StatusCode, Json<LoginView>), Problem> {
    let permit = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
    let wish = StepUpWish {
        challenge: body.challenge,
        port: body.port,
        state: body.state,
        acr_values: body.acr_values.split_whitespace().map(str::to_owned).collect(),
        max_age: body.max_age.map(Duration::from_secs),
    };
    let login = app.identity.begin_step_up(&permit, &caller, wish).await?;
    Ok((StatusCode::CREATED, Json(LoginView::of(&app, &login)?)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(begin_step_up))
}
