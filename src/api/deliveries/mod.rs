//! Deliveries: how each stands, and leaving one alone for a while.

mod list;
mod pause;
mod resume;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use super::App;
use crate::{
    base::{Name, Problem, Result},
    catalog::Delivery,
    policy::Resource,
};

/// All endpoints here.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(list::route()).merge(pause::route()).merge(resume::route())
}

/// A delivery by name, and the environment that it is decided on.
async fn named(app: &App, name: &str) -> Result<(Name, Resource)> {
    let name: Name = name.parse().map_err(Problem::invalid)?;
    let delivery = app.broker.delivery(&name).await?;
    Ok((name, environment(app, &delivery).await?))
}

async fn environment(app: &App, delivery: &Delivery) -> Result<Resource> {
    Ok(Resource::Environment(app.catalog.snapshot().await?.environment(&delivery.at())?))
}
