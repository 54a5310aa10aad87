//! `GET /api/v1/deliveries`

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{AnyAuth, App, Json},
    base::Problem,
    broker::DeliveryRow,
    policy::{Action, Resource},
};

/// Deliveries that the caller may see.
#[derive(Serialize, ToSchema)]
pub struct Deliveries {
    /// They.
    items: Vec<DeliveryView>,
    /// Always null: all are listed.
    next: Option<String>,
    /// Why none is listed although there are some: which trust scope would show them.
    notice: Option<String>,
}

/// How a delivery stands.
#[derive(Serialize, ToSchema)]
pub struct DeliveryView {
    /// What files call it.
    name: String,
    /// What is delivered.
    application: String,
    /// From which environment.
    environment: String,
    /// Whose copy, or who owns the application.
    team: String,
    /// Where to.
    cluster: String,
    /// In which namespace.
    namespace: String,
    /// As which Kubernetes Secret.
    secret: String,
    /// `new`, `waiting-for-values`, `delivered`, `paused`, `foreign`, `unreachable`, `forbidden` or
    /// `refused`.
    state: String,
    /// What stands in its way, in words.
    detail: String,
    /// How often what it delivers has changed.
    generation: i64,
    /// When it was written last.
    delivered_at: Option<String>,
    /// Until when it is left alone.
    paused_until: Option<String>,
    /// Former places from which it is still to be removed.
    leftovers: Vec<String>,
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        let delivery = row.delivery;
        Self {
            name: delivery.name.to_string(),
            application: delivery.application.to_string(),
            environment: delivery.environment.to_string(),
            team: row.team.to_string(),
            cluster: delivery.cluster.to_string(),
            namespace: delivery.namespace.to_string(),
            secret: delivery.secret.clone(),
            state: row.state.as_str().to_owned(),
            detail: row.detail,
            generation: row.generation,
            delivered_at: row.delivered_at.map(|at| at.to_string()),
            paused_until: row.paused_until.map(|at| at.to_string()),
            leftovers: row.leftovers,
        }
    }
}

/// The deliveries of the environments that you may see, and how each stands.
#[utoipa::path(
    get,
    path = "/deliveries",
    tag = "deliveries",
    responses((status = 200, description = "By name.", body = Deliveries))
)]
async fn list(State(app): State<Arc<App>>, AnyAuth(caller): AnyAuth) -> Result<Json<Deliveries>, Problem> {
    let declared = app.catalog.snapshot().await?;
    let rows = app.broker.states().await?;
    let environment = |row: &DeliveryRow| declared.environment(&row.delivery.at()).map(Resource::Environment);
    let first = rows.first().map(environment).transpose()?;
    let rows = app.gate.allowed(&caller, Action::SeeDelivery, rows, environment).await?;
    let notice = match first.filter(|_| rows.is_empty()) {
        Some(first) => app.gate.why_not(&caller, Action::SeeDelivery, first).await?,
        None => None,
    };
    Ok(Json(Deliveries { items: rows.into_iter().map(DeliveryView::from).collect(), next: None, notice }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}
