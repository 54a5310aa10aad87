//! `POST /api/v1/device/authorization`

use std::sync::Arc;

use axum::{Form, extract::State, http::header, response::IntoResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Json, Network, device_flow},
    base::Problem,
};

/// A machine without a browser that wants to be signed in (RFC 8628, section 3.1).
#[derive(Serialize, Deserialize, ToSchema)]
pub struct DeviceRequest {
    /// `portctl`; whatever is said here gives no right.
    #[serde(default)]
    pub client_id: String,
    /// The machine's name, shown to whoever types the code.
    #[serde(default = "unnamed")]
    pub machine: String,
}

fn unnamed() -> String {
    "a machine without a name".to_owned()
}

/// What a machine shows, and asks again with.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// To ask with.
    pub device_code: String,
    /// To be typed.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// For how many seconds.
    pub expires_in: u64,
    /// How many seconds to wait between two questions.
    pub interval: u64,
}

/// Begin signing in a machine without a browser.
#[utoipa::path(
    post,
    path = "/device/authorization",
    tag = "identity",
    request_body(content = DeviceRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The code to be typed.", body = DeviceView),
        (status = 400, description = "`invalid-request`"),
        (status = 404, description = "`not-found`: this way is switched off"),
        (status = 429, description = "`rate-limited`"),
    ),
    security(())
)]
async fn device_authorization(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Form(body): Form<DeviceRequest>,
) -> Result<impl IntoResponse, Problem> {
    device_flow(&app)?;
    let codes = app.identity.begin_device(&body.machine, network).await?;
    let view = DeviceView {
        device_code: codes.device_code.expose_text().unwrap_or_default().to_owned(),
        user_code: codes.user_code,
        verification_uri: app.identity.address("device")?.to_string(),
        expires_in: codes.life.as_secs(),
        interval: codes.wait.as_secs(),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(device_authorization))
}
