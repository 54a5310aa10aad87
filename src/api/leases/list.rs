//! `GET /api/v1/leases`

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::LeaseView;
use crate::{
    api::{AnyAuth, App, Json},
    base::Problem,
    policy::{Action, Resource},
    secrets::leases::Whose,
};

/// Whose leases, and which.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// A person, by id or e-mail address, or `all`; your own where nothing is said.
    person: Option<String>,
    /// Also those that are over.
    #[serde(default)]
    ended: bool,
}

/// Leases, without their credentials.
#[derive(Serialize, ToSchema)]
pub struct LeaseList {
    /// They.
    items: Vec<LeaseView>,
    /// Always null: 500 at most are listed.
    next: Option<String>,
}

/// Leases that are open: your own, somebody's, or everybody's.
#[utoipa::path(
    get,
    path = "/leases",
    tag = "leases",
    params(Which),
    responses(
        (status = 200, description = "The newest first.", body = LeaseList),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`: two people have that address."),
    )
)]
async fn list(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Query(which): Query<Which>,
) -> Result<Json<LeaseList>, Problem> {
    let (action, resource) = match which.person {
        None => (Action::SeeOwn, Resource::Own),
        Some(_) => (Action::SeePeople, Resource::People),
    };
    let permit = app.gate.authorize(&caller, action, resource).await?;
    let whose = match which.person.as_deref() {
        Some(person) if person != "all" => {
            let address = person.parse().map_err(|e: String| Problem::invalid(e))?;
            Whose::Of(app.identity.find_person(&permit, &address).await?.id.to_string())
        }
        _ => Whose::All,
    };
    let leases = app.leases.list(&permit, &whose, which.ended).await?;
    Ok(Json(LeaseList { items: leases.iter().map(LeaseView::from).collect(), next: None }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}
