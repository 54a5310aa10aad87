//! `POST /api/v1/plan`

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ChangeView, DocumentBody, LONGEST_BODY, set_of, views};
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    catalog::Plan,
    policy::{Action, Resource},
};

/// A set of files as it should be.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// What the set is called, where no file says so.
    #[serde(default)]
    pub source: Option<String>,
    /// All of its files: 500 and 8 MiB at most.
    pub documents: Vec<DocumentBody>,
}

/// What a set of files would change.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// The source.
    pub source: String,
    /// The version of the catalog that it was compared with.
    pub base_version: i64,
    /// SHA-256 over version, changes and files, in hexadecimal.
    pub digest: String,
    /// What would change.
    pub changes: Vec<ChangeView>,
    /// Whether something would be removed, which has to be allowed.
    pub needs_allow_delete: bool,
}

impl From<&Plan> for PlanView {
    fn from(it: &Plan) -> Self {
        Self {
            source: it.source.to_string(),
            base_version: it.base_version,
            digest: it.digest.clone(),
            changes: views(&it.changes),
            needs_allow_delete: it.needs_allow_delete,
        }
    }
}

/// See what a set of files would change; changes nothing.
#[utoipa::path(
    post,
    path = "/plan",
    tag = "catalog",
    request_body = PlanRequest,
    responses(
        (status = 200, description = "What would change.", body = PlanView),
        (status = 403, description = "`denied`"),
        (status = 413, description = "`too-large`"),
        (status = 422, description = "`invalid-declaration`: `findings` tells file, line, column, message and remedy of each."),
    )
)]
async fn plan(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Json(body): Json<PlanRequest>,
) -> Result<Json<PlanView>, Problem> {
    let permit = app.gate.authorize(&caller, Action::Plan, Resource::Catalog).await?;
    let set = set_of(body.source, body.documents)?;
    let plan = app.catalog.plan(permit, set).await?;
    Ok(Json(PlanView::from(&plan)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(plan)).layer(DefaultBodyLimit::max(LONGEST_BODY))
}
