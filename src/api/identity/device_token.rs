//! `POST /api/v1/device/token`

use std::sync::Arc;

use axum::{Form, extract::State, http::header, response::IntoResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Json, Network, device_flow},
    base::{Problem, ProblemKind, SecretValue, Timestamp, ids::PersonId},
};

/// The one grant type of this endpoint.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A machine asks whether it is signed in (RFC 8628, section 3.4).
#[derive(Serialize, Deserialize, ToSchema)]
pub struct DeviceTokenRequest {
    /// `urn:ietf:params:oauth:grant-type:device_code`
    pub grant_type: String,
    /// The device code.
    pub device_code: String,
    /// `portctl`; whatever is said here gives no right.
    #[serde(default)]
    pub client_id: String,
}

/// A session that has just begun, with its token, which is shown this once.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct DeviceTokenView {
    /// To be sent as `Authorization: Bearer …`.
    pub access_token: String,
    /// `Bearer`
    pub token_type: String,
    /// For how many seconds at most.
    pub expires_in: u64,
    /// Who is signed in.
    #[schema(value_type = String)]
    pub person: PersonId,
    /// When it ends whatever happens.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
}

/// Ask whether the person has typed the code.
#[utoipa::path(
    post,
    path = "/device/token",
    tag = "identity",
    request_body(content = DeviceTokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Signed in; the token is shown this once.", body = DeviceTokenView),
        (status = 400, description = "`device-grant`, with the standard's word as `error`; `invalid-request`"),
        (status = 403, description = "`person-suspended`, `person-deactivated`"),
        (status = 404, description = "`not-found`: this way is switched off"),
        (status = 429, description = "`rate-limited`"),
    ),
    security(())
)]
async fn device_token(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Form(body): Form<DeviceTokenRequest>,
) -> Result<impl IntoResponse, Problem> {
    device_flow(&app)?;
    if body.grant_type != GRANT_TYPE {
        let problem =
            Problem::new(ProblemKind::DeviceGrant, "this endpoint knows the grant of device codes alone");
        return Err(problem.with("error", "unsupported_grant_type"));
    }
    let session = app.identity.exchange_device(&SecretValue::from(body.device_code), network).await?;
    let view = DeviceTokenView {
        access_token: session.token.expose_text().unwrap_or_default().to_owned(),
        token_type: "Bearer".to_owned(),
        expires_in: session.ends_at.since(app.ambient.now()).as_secs(),
        person: session.person,
        expires_at: session.ends_at,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(device_token))
}
