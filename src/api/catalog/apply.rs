//! `POST /api/v1/apply`

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ChangeView, DocumentBody, LONGEST_BODY, set_of, views};
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    catalog::Conditions,
    policy::{Action, Resource},
};

/// A set of files that is to be applied.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// What the set is called, where no file says so.
    #[serde(default)]
    pub source: Option<String>,
    /// All of its files: 500 and 8 MiB at most.
    pub documents: Vec<DocumentBody>,
    /// Whether what is no longer declared may be removed.
    #[serde(default)]
    pub allow_delete: bool,
    /// `base_version` of the plan that was looked at.
    #[serde(default)]
    pub expect_version: Option<i64>,
    /// `digest` of the plan that was looked at.
    #[serde(default)]
    pub expect_digest: Option<String>,
}

/// What applying came to.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct AppliedView {
    /// The version of the catalog now; as before where nothing changed.
    pub version: i64,
    /// What changed.
    pub changes: Vec<ChangeView>,
}

/// Apply a set of files: all of it, or nothing. Applying twice changes nothing.
#[utoipa::path(
    post,
    path = "/apply",
    tag = "catalog",
    request_body = ApplyRequest,
    responses(
        (status = 200, description = "Applied.", body = AppliedView),
        (status = 403, description = "`denied`"),
        (status = 409, description = "`plan-is-stale`: the world moved since the plan; `conflict`: something would be removed, and `allow_delete` is not set."),
        (status = 413, description = "`too-large`"),
        (status = 422, description = "`invalid-declaration`: `findings` tells file, line, column, message and remedy of each."),
    )
)]
async fn apply(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Json(body): Json<ApplyRequest>,
) -> Result<Json<AppliedView>, Problem> {
    let set = set_of(body.source, body.documents)?;
    let conditions = Conditions {
        allow_delete: body.allow_delete,
        expect_version: body.expect_version,
        expect_digest: body.expect_digest,
    };
    let applied = app
        .gate
        .act(&caller, Action::Apply, Resource::Catalog, |permit| {
            app.catalog.apply(&app.log, permit, set.clone(), conditions.clone())
        })
        .await?;
    Ok(Json(AppliedView { version: applied.version, changes: views(&applied.changes) }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(apply)).layer(DefaultBodyLimit::max(LONGEST_BODY))
}
