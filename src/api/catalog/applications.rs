//! `GET /api/v1/applications`

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth, Json},
    base::Problem,
    catalog::{Application, Environment},
    policy::{Action, Resource},
};

/// Declared applications.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Applications {
    /// By name.
    pub items: Vec<ApplicationView>,
    /// Always null: all are listed.
    pub next: Option<String>,
}

/// An application.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ApplicationView {
    /// What it is called.
    pub name: String,
    /// The team that owns it.
    pub team: String,
    /// Its environments, in the order of their declaration.
    pub environments: Vec<EnvironmentView>,
}

/// An environment of an application.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct EnvironmentView {
    /// What it is called.
    pub name: String,
    /// Whether facts have to be younger than usual here.
    pub protected: bool,
    /// The teams that have a copy each; empty where the environment is shared.
    pub copies: Vec<String>,
}

impl From<&Application> for ApplicationView {
    fn from(it: &Application) -> Self {
        Self {
            name: it.name.to_string(),
            team: it.team.to_string(),
            environments: it.environments.iter().map(EnvironmentView::from).collect(),
        }
    }
}

impl From<&Environment> for EnvironmentView {
    fn from(it: &Environment) -> Self {
        Self {
            name: it.name.to_string(),
            protected: it.protected,
            copies: it.copies.iter().map(ToString::to_string).collect(),
        }
    }
}

/// All declared applications. Every active person sees their names: one has to know what to ask for.
/// What is in them is another matter.
#[utoipa::path(
    get,
    path = "/applications",
    tag = "catalog",
    responses((status = 200, description = "By name.", body = Applications))
)]
async fn list(State(app): State<Arc<App>>, Auth(caller): Auth) -> Result<Json<Applications>, Problem> {
    app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
    let snapshot = app.catalog.snapshot().await?;
    let items = snapshot.applications.values().map(ApplicationView::from).collect();
    Ok(Json(Applications { items, next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}
