//! `POST /sign-in/{provider}/backchannel-logout`: an identity provider says that somebody is signed out
//! there (OpenID Connect Back-Channel Logout 1.0). Nobody is signed in who calls this; the token proves it.

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;

use super::{App, Json, Network};
use crate::base::ProblemKind;

#[derive(Deserialize)]
struct Logout {
    logout_token: String,
}

async fn logout(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Path(provider): Path<String>,
    Form(logout): Form<Logout>,
) -> Response {
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    match app.identity.logged_out_at_provider(&provider, &logout.logout_token, network).await {
        Ok(_) => (StatusCode::OK, no_store).into_response(),
        Err(problem) if [ProblemKind::NotFound, ProblemKind::RateLimited].contains(&problem.kind) => {
            problem.into_response()
        }
        // Section 2.8: whatever goes wrong, also on our side, is this; the provider says it again or not.
        Err(problem) => {
            tracing::warn!(%problem, provider, "a logout token was not taken");
            let said = serde_json::json!({ "error": "invalid_request", "error_description": problem.detail });
            (StatusCode::BAD_REQUEST, no_store, Json(said)).into_response()
        }
    }
}

/// This endpoint.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/sign-in/{provider}/backchannel-logout", post(logout))
}
