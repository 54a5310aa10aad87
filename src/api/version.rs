//! `GET /api/v1/version`

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{App, Json};

/// What the server is.
#[derive(Serialize, ToSchema)]
pub struct VersionView {
    /// Its version.
    version: &'static str,
}

/// The server's version, for `portctl version` to compare.
#[utoipa::path(
    get,
    path = "/version",
    tag = "server",
    responses((status = 200, description = "The version.", body = VersionView)),
    security(())
)]
async fn version() -> Json<VersionView> {
    Json(VersionView { version: env!("CARGO_PKG_VERSION") })
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(version))
}
