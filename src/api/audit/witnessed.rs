//! `GET /audit/log/witnessed-checkpoint`

use std::sync::Arc;

use axum::{extract::State, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{LogReader, tiles::note_answer};
use crate::{api::App, audit::witness::witnessed_note, base::Problem};

/// The newest checkpoint that as many witnesses cosigned as the configuration wants, with their
/// cosignatures (C2SP tlog-cosignature) below the signature of the log.
#[utoipa::path(
    get,
    path = "/audit/log/witnessed-checkpoint",
    tag = "audit",
    responses(
        (status = 200, description = "A signed note.", content_type = "text/plain", body = String),
        (status = 403, description = "`denied`"),
        (status = 409, description = "`conflict`: there are no witnesses, or they have not cosigned yet"),
    )
)]
async fn witnessed(State(app): State<Arc<App>>, _: LogReader) -> Result<Response, Problem> {
    witnessed_note(&app.database, &app.witness_policy).await.map(note_answer)
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(witnessed))
}
