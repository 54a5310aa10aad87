//! `GET /audit/v1/entries/{index}/proof` and `GET /audit/v1/consistency`

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{LogReader, signed};
use crate::{
    api::{App, Json},
    audit::{checkpoint, proof::tlog_proof, tile::TreeReader},
    base::{Problem, hex},
};

/// That a log grew out of a smaller one.
#[derive(Serialize, ToSchema)]
pub struct Proof {
    /// Hashes in hexadecimal, in the order of RFC 6962.
    hashes: Vec<String>,
    /// The signed checkpoint of the larger one; null where none of that size was signed.
    checkpoint: Option<String>,
}

/// From which size to which.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Growth {
    /// The size that is known.
    from: u64,
    /// The size that it grew to; else that of the newest checkpoint.
    to: Option<u64>,
}

/// That an entry is in the tree of the newest checkpoint, as one text that is verified without the server
/// (C2SP tlog-proof).
#[utoipa::path(
    get,
    path = "/audit/v1/entries/{index}/proof",
    tag = "audit",
    params(("index" = u64, Path, description = "Its place in the log.")),
    responses(
        (status = 200, description = "The proof: c2sp.org/tlog-proof@v1.", content_type = "text/plain",
            body = String),
        (status = 400, description = "`invalid-request`"),
        (status = 404, description = "`not-found`: beyond what was signed"),
    )
)]
async fn inclusion(
    State(app): State<Arc<App>>,
    _: LogReader,
    Path(index): Path<String>,
) -> Result<Response, Problem> {
    let index: u64 =
        index.parse().map_err(|_| Problem::invalid(format!("'{}' is no index", index.escape_debug())))?;
    let (newest, note) = signed(&app).await?;
    let hashes = TreeReader::new(&app.database, newest.size).inclusion(index).await?;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, tlog_proof(index, &hashes, &note)).into_response())
}

/// That a log grew out of a smaller one (RFC 6962, section 2.1.2).
#[utoipa::path(
    get,
    path = "/audit/v1/consistency",
    tag = "audit",
    params(Growth),
    responses(
        (status = 200, description = "The proof.", body = Proof),
        (status = 400, description = "`invalid-request`: shrinking, or larger than what was signed"),
    )
)]
async fn consistency(
    State(app): State<Arc<App>>,
    _: LogReader,
    growth: Result<Query<Growth>, QueryRejection>,
) -> Result<Json<Proof>, Problem> {
    let Query(growth) = growth.map_err(|e| Problem::invalid(e.body_text()))?;
    let (newest, note) = signed(&app).await?;
    let to = growth.to.unwrap_or(newest.size);
    if to > newest.size {
        return Err(Problem::invalid(format!("{} entries were signed, not {to}", newest.size)));
    }
    let hashes = TreeReader::new(&app.database, to).consistency(growth.from).await?;
    let checkpoint =
        if to == newest.size { Some(note) } else { checkpoint::of_size(&app.database, to).await? };
    Ok(Json(Proof { hashes: hashes.iter().map(|hash| hex::encode(hash)).collect(), checkpoint }))
}

/// These endpoints.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(inclusion)).routes(routes!(consistency))
}
