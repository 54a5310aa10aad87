//! `GET /api/v1/applications/{application}/environments/{environment}/secrets/{name}/versions`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::SecretPath;
use crate::{
    api::{AnyAuth, App, Json, names::Names},
    base::{Problem, Timestamp},
    policy::Action,
    secrets::VersionLine,
};

/// Versions of a secret.
#[derive(Serialize, ToSchema)]
pub struct Versions {
    /// They.
    items: Vec<VersionView>,
    /// Always null: all are listed.
    next: Option<String>,
}

/// A version, without its value.
#[derive(Serialize, ToSchema)]
pub struct VersionView {
    /// Its number.
    version: i64,
    /// Its id.
    id: String,
    /// `live`, `deleted` or `destroyed`.
    state: String,
    /// `entered`, `generated`, `rolled-back` or `found`.
    origin: String,
    /// When it was made.
    created_at: String,
    /// Who made it, as the log names whoever it was.
    created_by: String,
    /// What a person who made it is called; for display only.
    created_by_name: Option<String>,
}

impl VersionView {
    fn of(it: VersionLine, names: &Names) -> Self {
        Self {
            version: it.number,
            id: it.id,
            state: it.state,
            origin: it.origin,
            created_at: Timestamp::from_millis(it.created_at).to_string(),
            created_by_name: names.name(&it.created_by),
            created_by: it.created_by,
        }
    }
}

/// The versions of a secret; no values.
#[utoipa::path(
    get,
    path = "/applications/{application}/environments/{environment}/secrets/{name}/versions",
    tag = "secrets",
    params(SecretPath),
    responses(
        (status = 200, description = "The newest first.", body = Versions),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn versions(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(path): Path<SecretPath>,
) -> Result<Json<Versions>, Problem> {
    let permit = app.gate.authorize(&caller, Action::List, path.resource(&app).await?).await?;
    let made = app.secrets.versions(permit).await?;
    let by: Vec<String> = made.iter().map(|it| it.created_by.clone()).collect();
    let names = Names::of(&app, &by).await?;
    let items = made.into_iter().map(|it| VersionView::of(it, &names)).collect();
    Ok(Json(Versions { items, next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(versions))
}
