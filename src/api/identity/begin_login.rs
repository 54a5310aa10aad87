//! `POST /api/v1/logins`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Json, Network},
    base::{Problem, Timestamp, ids::LoginId},
    identity::{LoginWish, PendingLogin},
};

/// A command line that wants to be signed in.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// PKCE S256 challenge.
    pub challenge: String,
    /// The port on 127.0.0.1 that it listens on.
    pub port: u16,
    /// What it recognises its own login by: 16 to 128 characters of base64url.
    pub state: String,
    /// The machine's name, shown to whoever clicks.
    pub machine: String,
}

/// A login that waits for a click.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct LoginView {
    /// Which.
    #[schema(value_type = String)]
    pub login: LoginId,
    /// The page to open in a browser.
    pub url: String,
    /// Until when it waits.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
}

impl LoginView {
    /// As the API shows it.
    pub(super) fn of(app: &App, login: &PendingLogin) -> Result<Self, Problem> {
        let url = app.identity.address(&format!("logins/{}", login.id))?.to_string();
        Ok(Self { login: login.id, url, expires_at: login.expires_at })
    }
}

/// Begin signing a command line in.
#[utoipa::path(
    post,
    path = "/logins",
    tag = "identity",
    request_body = LoginRequest,
    responses(
        (status = 201, description = "It waits for a click on the page.", body = LoginView),
        (status = 400, description = "`invalid-request`"),
        (status = 429, description = "`rate-limited`"),
    ),
    security(())
)]
async fn begin_login(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Json(body): Json<LoginRequest>,
) -> Result<(StatusCode, Json<LoginView>), Problem> {
    let wish =
        LoginWish { challenge: body.challenge, port: body.port, state: body.state, machine: body.machine };
    let login = app.identity.begin_login(wish, network).await?;
    Ok((StatusCode::CREATED, Json(LoginView::of(&app, &login)?)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(begin_login))
}
