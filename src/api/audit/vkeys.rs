//! `GET /audit/v1/vkeys`

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::LogReader;
use crate::{api::App, audit::signing_verifiers, base::Problem};

/// The keys that sign checkpoints now, a line each (C2SP signed-note), the oldest first: several while one
/// takes over from another. To be compared with what
/// you know from elsewhere: a server that lies about its log would lie about its keys.
#[utoipa::path(
    get,
    path = "/audit/v1/vkeys",
    tag = "audit",
    responses((status = 200, description = "NAME+ID+KEY, a line each.", body = String))
)]
async fn vkeys(State(app): State<Arc<App>>, _: LogReader) -> Result<String, Problem> {
    let keys = signing_verifiers(&app.keys, &app.config.log.origin).await?;
    let lines: Vec<String> = keys.iter().map(ToString::to_string).collect();
    Ok(lines.join("\n") + "\n")
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(vkeys))
}
