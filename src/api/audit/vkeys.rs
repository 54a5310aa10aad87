//! `GET /audit/v1/vkeys`

use std::sync::Arc;

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{LogReader, verifier};
use crate::{api::App, base::Problem};

/// The keys that checkpoints are verified with, a line each (C2SP signed-note). To be compared with what
/// you know from elsewhere: a server that lies about its log would lie about its keys.
#[utoipa::path(
    get,
    path = "/audit/v1/vkeys",
    tag = "audit",
    responses((status = 200, description = "NAME+ID+KEY, a line each.", body = String))
)]
async fn vkeys(State(app): State<Arc<App>>, _: LogReader) -> Result<String, Problem> {
    Ok(format!("{}\n", verifier(&app)?))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(vkeys))
}
