//! `GET /audit/v1/names`

use std::sync::Arc;

use axum::extract::{Query, State, rejection::QueryRejection};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result, ids::PersonId},
    policy::{Action, Resource},
};

/// Most people that are named at once.
const MOST: usize = 100;

/// Whose names.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Whose {
    /// Ids of people, with commas between them; a hundred at most.
    ids: String,
}

/// What people are called now. Entries hold ids alone, so that names can be forgotten.
#[derive(Serialize, ToSchema)]
pub struct Names {
    /// They, by id; whoever is not known here is left out.
    items: Vec<PersonName>,
}

/// What a person is called.
#[derive(Serialize, ToSchema)]
pub struct PersonName {
    /// Her id.
    id: String,
    /// Her name; once she is forgotten, what her entries call her.
    display_name: String,
    /// Her e-mail address; empty where nobody who may has asserted one.
    email: String,
}

/// What the people are called whom entries name by id.
#[utoipa::path(
    get,
    path = "/audit/v1/names",
    tag = "audit",
    params(Whose),
    responses(
        (status = 200, description = "By id.", body = Names),
        (status = 400, description = "`invalid-request`: no id of a person, too many"),
        (status = 403, description = "`denied`"),
    )
)]
async fn names(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    whose: Result<Query<Whose>, QueryRejection>,
) -> Result<Json<Names>, Problem> {
    let permit = app.gate.authorize(&caller, Action::ReadLog, Resource::Log).await?;
    let Query(whose) = whose.map_err(|e| Problem::invalid(e.body_text()))?;
    let people = app.identity.people(&permit, &ids(&whose.ids)?).await?;
    let named = people.into_iter().map(|person| PersonName {
        id: person.id.to_string(),
        display_name: person.display_name,
        email: person.email,
    });
    Ok(Json(Names { items: named.collect() }))
}

fn ids(text: &str) -> Result<Vec<PersonId>> {
    let ids: Vec<PersonId> =
        text.split(',').map(|id| id.parse().map_err(Problem::invalid)).collect::<Result<_>>()?;
    if ids.len() > MOST {
        return Err(Problem::invalid(format!("{} people are asked for at once", ids.len()))
            .remedy(format!("Ask for {MOST} at most.")));
    }
    Ok(ids)
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(names))
}
