//! `GET /api/v1/exposures`

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::ExposureView;
use crate::{
    api::{App, Auth, Json},
    base::{Problem, Result, SecretRef, ids::PersonId},
    broker::UnknownReaders,
    identity::{Caller, Person, PersonAddress},
    policy::{Action, Permit, Resource},
    secrets::{Exposures, Whose},
};

/// How a workload is named where a person could be.
const WORKLOAD: &str = "workload/";

/// Whose exposures, or of what.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct About {
    /// What this person knows: her id or e-mail address; or a workload, `workload/NAME`. One's own where
    /// neither this nor `secret` is said.
    pub person: Option<String>,
    /// Who knows this secret: `APPLICATION/ENVIRONMENT[@TEAM]/NAME`.
    pub secret: Option<String>,
    /// What follows this one.
    pub cursor: Option<String>,
}

/// Exposures, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Listed {
    /// They.
    items: Vec<ExposureView>,
    /// Deliveries of which it is not known whom they expose to values: those of the secret that was asked
    /// for; of a person, all of them.
    unknown: Vec<UnknownView>,
    /// The cursor of what follows, where anything does.
    next: Option<String>,
}

/// It is not known who can read what a delivery put into a cluster.
#[derive(Serialize, ToSchema)]
pub struct UnknownView {
    /// Which delivery.
    delivery: String,
    /// Why, in words.
    because: String,
}

/// Who came to know which values: entered, revealed, run with, leased, or delivered to where they could be
/// read.
///
/// One's own are everybody's to see. Those of others take `see-people`; those of a secret take that or
/// `see-exposure` in its environment.
#[utoipa::path(
    get,
    path = "/exposures",
    tag = "exposures",
    params(About),
    responses(
        (status = 200, description = "The newest first.", body = Listed),
        (status = 400, description = "`invalid-request`: a person and a secret at once."),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`, with `ids`"),
    )
)]
async fn list_exposures(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Query(about): Query<About>,
) -> Result<Json<Listed>, Problem> {
    let (permit, whose) = match (about.person, about.secret) {
        (Some(_), Some(_)) => return Err(one_of_both()),
        (None, Some(secret)) => of_secret(&app, &caller, &secret).await?,
        (Some(who), None) => of_principal(&app, &caller, &who).await?,
        (None, None) => {
            let permit = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
            (permit, Whose::Principal(caller.person.to_string()))
        }
    };
    let found = app.secrets.exposures(&permit, &whose, about.cursor.as_deref()).await?;
    // One's own list names no delivery of others'.
    let unknown = match permit.action() {
        Action::SeeOwn => Vec::new(),
        _ => app.broker.unknown_readers(found.secret.as_ref()).await?,
    };
    Ok(Json(shown(&app, found, unknown).await?))
}

fn one_of_both() -> Problem {
    Problem::invalid("exposures are asked for by person or by secret, not by both")
        .remedy("Leave one of the two out.")
}

async fn of_principal(app: &App, caller: &Caller, who: &str) -> Result<(Permit, Whose)> {
    let permit = app.gate.authorize(caller, Action::SeePeople, Resource::People).await?;
    if who.starts_with(WORKLOAD) {
        return Ok((permit, Whose::Principal(who.to_owned())));
    }
    let address: PersonAddress = who.parse().map_err(Problem::invalid)?;
    let person = app.identity.find_person(&permit, &address).await?;
    Ok((permit, Whose::Principal(person.id.to_string())))
}

/// Whoever sees people sees who knows a secret; else it takes a scope that says so of that environment.
async fn of_secret(app: &App, caller: &Caller, text: &str) -> Result<(Permit, Whose)> {
    let at: SecretRef = text.parse().map_err(Problem::invalid)?;
    let sees_people =
        app.gate.allowed(caller, Action::SeePeople, vec![()], |()| Ok(Resource::People)).await?;
    let permit = if sees_people.is_empty() {
        let environment = app.catalog.snapshot().await?.environment(&at.environment)?;
        let secret = Resource::Secret(environment, at.name.clone());
        app.gate.authorize(caller, Action::SeeExposure, secret).await?
    } else {
        app.gate.authorize(caller, Action::SeePeople, Resource::People).await?
    };
    Ok((permit, Whose::Secret(at)))
}

async fn shown(app: &App, found: Exposures, unknown: Vec<UnknownReaders>) -> Result<Listed> {
    let mut people: BTreeMap<String, Option<Person>> = BTreeMap::new();
    let mut items = Vec::with_capacity(found.items.len());
    for it in found.items {
        if !people.contains_key(&it.principal) {
            people.insert(it.principal.clone(), person(app, &it.principal).await?);
        }
        let person = people.get(&it.principal).and_then(Option::as_ref).cloned();
        items.push(ExposureView::of(it, person.as_ref()));
    }
    let unknown = unknown
        .into_iter()
        .map(|it| UnknownView { delivery: it.delivery.to_string(), because: it.because })
        .collect();
    Ok(Listed { items, unknown, next: found.next })
}

async fn person(app: &App, principal: &str) -> Result<Option<Person>> {
    let Ok(person) = principal.parse::<PersonId>() else { return Ok(None) };
    Ok(Some(app.identity.person(person).await?))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_exposures))
}
