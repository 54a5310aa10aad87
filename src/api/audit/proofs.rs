//! `GET /audit/v1/entries/{index}/proof` and `GET /audit/v1/consistency`

use std::sync::Arc;

use axum::extract::{Path, Query, State, rejection::QueryRejection};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{LogReader, signed};
use crate::{
    api::{App, Json},
    audit::{Hash, tile::TreeReader},
    base::{Problem, hex},
};

/// That an entry is in the log, or that the log grew out of a smaller one.
#[derive(Serialize, ToSchema)]
pub struct Proof {
    /// Hashes in hexadecimal, in the order of RFC 6962.
    hashes: Vec<String>,
    /// The signed checkpoint of the tree that it leads to.
    checkpoint: String,
}

impl Proof {
    fn new(hashes: &[Hash], checkpoint: String) -> Json<Self> {
        Json(Self { hashes: hashes.iter().map(|hash| hex::encode(hash)).collect(), checkpoint })
    }
}

/// From which size.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Growth {
    /// The size that is known.
    from: u64,
}

/// That an entry is in the tree of the newest checkpoint (RFC 6962, section 2.1.1).
#[utoipa::path(
    get,
    path = "/audit/v1/entries/{index}/proof",
    tag = "audit",
    params(("index" = u64, Path, description = "Its place in the log.")),
    responses(
        (status = 200, description = "The proof.", body = Proof),
        (status = 400, description = "`invalid-request`"),
        (status = 404, description = "`not-found`: beyond what was signed"),
    )
)]
async fn inclusion(
    State(app): State<Arc<App>>,
    _: LogReader,
    Path(index): Path<String>,
) -> Result<Json<Proof>, Problem> {
    let index: u64 =
        index.parse().map_err(|_| Problem::invalid(format!("'{}' is no index", index.escape_debug())))?;
    let (newest, note) = signed(&app).await?;
    let hashes = TreeReader::new(&app.database, newest.size).inclusion(index).await?;
    Ok(Proof::new(&hashes, note))
}

/// That the tree of the newest checkpoint grew out of a smaller one (RFC 6962, section 2.1.2).
#[utoipa::path(
    get,
    path = "/audit/v1/consistency",
    tag = "audit",
    params(Growth),
    responses(
        (status = 200, description = "The proof.", body = Proof),
        (status = 400, description = "`invalid-request`: larger than what was signed"),
    )
)]
async fn consistency(
    State(app): State<Arc<App>>,
    _: LogReader,
    growth: Result<Query<Growth>, QueryRejection>,
) -> Result<Json<Proof>, Problem> {
    let Query(growth) = growth.map_err(|e| Problem::invalid(e.body_text()))?;
    let (newest, note) = signed(&app).await?;
    let hashes = TreeReader::new(&app.database, newest.size).consistency(growth.from).await?;
    Ok(Proof::new(&hashes, note))
}

/// These endpoints.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(inclusion)).routes(routes!(consistency))
}
