//! `GET /api/v1/applications/{application}/environments/{environment}/secrets`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::EnvironmentPath;
use crate::{
    api::{AnyAuth, App, Json, names::Names},
    base::Problem,
    policy::Action,
    secrets::Listed,
};

/// Secrets of an environment.
#[derive(Serialize, ToSchema)]
pub struct Secrets {
    /// They.
    items: Vec<SecretView>,
    /// Always null: all are listed.
    next: Option<String>,
}

/// A secret, without its value.
#[derive(Serialize, ToSchema)]
pub struct SecretView {
    /// Its id; empty for one that files declare and nobody has used yet.
    id: String,
    /// What it is called here.
    name: String,
    /// The current version; null where that is deleted.
    version: Option<i64>,
    /// How many versions there have been.
    versions: i64,
    /// When it last changed.
    changed_at: Option<String>,
    /// Who made the newest version, as the log names whoever it was.
    changed_by: Option<String>,
    /// What a person who made it is called; for display only.
    changed_by_name: Option<String>,
    /// The application that shares it with this one.
    shared_by: Option<String>,
}

impl SecretView {
    fn of(it: Listed, names: &Names) -> Self {
        Self {
            id: it.id,
            name: it.name,
            version: it.version,
            versions: it.versions,
            changed_at: it.changed_at.map(|at| at.to_string()),
            changed_by_name: it.changed_by.as_deref().and_then(|by| names.name(by)),
            changed_by: it.changed_by,
            shared_by: it.shared_by.map(|it| it.to_string()),
        }
    }
}

/// The secrets of an environment, its own and those shared with it; no values.
#[utoipa::path(
    get,
    path = "/applications/{application}/environments/{environment}/secrets",
    tag = "secrets",
    params(EnvironmentPath),
    responses(
        (status = 200, description = "By name.", body = Secrets),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
    )
)]
async fn list(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(path): Path<EnvironmentPath>,
) -> Result<Json<Secrets>, Problem> {
    let permit = app.gate.authorize(&caller, Action::List, path.resource(&app).await?).await?;
    let listed = app.secrets.list(permit).await?;
    let by: Vec<String> = listed.iter().filter_map(|it| it.changed_by.clone()).collect();
    let names = Names::of(&app, &by).await?;
    let items = listed.into_iter().map(|it| SecretView::of(it, &names)).collect();
    Ok(Json(Secrets { items, next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}
