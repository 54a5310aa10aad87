//! `GET /api/v1/people`

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Listed, PersonView};
use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, Resource},
};

/// Which people.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// What their name or e-mail address holds.
    #[serde(default)]
    pub query: String,
    /// Where the last answer ended.
    pub cursor: Option<String>,
}

/// The people here, a hundred at a time.
#[utoipa::path(
    get,
    path = "/people",
    tag = "identity",
    params(Which),
    responses(
        (status = 200, description = "In the order in which they came.", body = Listed<PersonView>),
        (status = 403, description = "`denied`"),
    )
)]
async fn list_people(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Query(which): Query<Which>,
) -> Result<Json<Listed<PersonView>>, Problem> {
    let permit = app.gate.authorize(&caller, Action::SeePeople, Resource::People).await?;
    let cursor = which.cursor.as_deref().map(str::parse).transpose().map_err(Problem::invalid)?;
    let (people, next) = app.identity.list_people(&permit, &which.query, cursor).await?;
    let items = people.into_iter().map(PersonView::from).collect();
    Ok(Json(Listed { items, next: next.map(|id| id.to_string()) }))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_people))
}
