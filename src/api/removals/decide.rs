//! `POST /api/v1/removals/release` and `reject`

use std::sync::Arc;

use axum::extract::State;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth, Json},
    base::{Problem, ProblemKind, Result, ids::PersonId},
    identity::{Caller, HeldVerdict},
    policy::{Action, Resource},
};

/// How many people are decided on at once.
const AT_ONCE: usize = 32;

/// Whom it is about: one person, or with `all` everybody who is held now.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideRequest {
    /// By id or e-mail address.
    #[serde(default)]
    pub person: Option<String>,
    /// Everybody.
    #[serde(default)]
    pub all: bool,
    /// In the words of whoever decides; at most 4 KiB, kept in the log.
    pub reason: String,
}

/// What came of it.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Decided {
    /// Of how many people it was decided.
    pub decided: usize,
    /// Those of them, `per_…`, whom the connection that removed them has no more, because it deleted them: they
    /// are in none of its groups until it provisions them again.
    pub outside: Vec<String>,
}

async fn whom(app: &App, caller: &Caller, body: &DecideRequest) -> Result<Vec<PersonId>> {
    let permit = app.gate.authorize(caller, Action::ManagePeople, Resource::People).await?;
    match (&body.person, body.all) {
        (Some(person), false) => {
            let address = person.parse().map_err(Problem::invalid)?;
            Ok(vec![app.identity.find_person(&permit, &address).await?.id])
        }
        (None, true) => app.identity.held_people(&permit).await,
        _ => Err(Problem::invalid("either a person is named, or all are meant")
            .remedy("Name her, or say `--all`.")),
    }
}

/// Each person is a decision of her own, so that one who cannot be decided on holds nobody up.
async fn decide(
    app: &App,
    caller: &Caller,
    verdict: HeldVerdict,
    body: &DecideRequest,
) -> Result<Json<Decided>> {
    let people = whom(app, caller, body).await?;
    if people.is_empty() {
        return Err(
            Problem::conflict("no removal is held").remedy("`portctl leaver held` shows those that are.")
        );
    }
    let one = |person: PersonId| {
        app.gate.act(caller, Action::ManagePeople, Resource::People, move |permit| {
            app.identity.decide_held(permit, person, verdict, &body.reason)
        })
    };
    let outcomes: Vec<_> = stream::iter(people).map(one).buffered(AT_ONCE).collect().await;
    let (mut decided, mut outside) = (0, Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(it) => {
                decided += 1;
                outside.extend(it.outside.then(|| it.person.to_string()));
            }
            // Somebody else was quicker with one of many.
            Err(problem) if body.all && problem.is(ProblemKind::Conflict) => {}
            Err(problem) => return Err(problem.with("decided", decided)),
        }
    }
    Ok(Json(Decided { decided, outside }))
}

/// Let held removals through: these people have left, and everything is taken from them.
#[utoipa::path(
    post,
    path = "/removals/release",
    tag = "leavers",
    request_body = DecideRequest,
    responses(
        (status = 200, description = "They are deactivated.", body = Decided),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`; `conflict`: nothing is held"),
    )
)]
async fn release_removals(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Json(body): Json<DecideRequest>,
) -> Result<Json<Decided>, Problem> {
    decide(&app, &caller, HeldVerdict::Release, &body).await
}

/// Undo held removals: these people have not left, and are what they were before.
#[utoipa::path(
    post,
    path = "/removals/reject",
    tag = "leavers",
    request_body = DecideRequest,
    responses(
        (status = 200, description = "They are as they were.", body = Decided),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`; `conflict`: nothing is held"),
    )
)]
async fn reject_removals(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Json(body): Json<DecideRequest>,
) -> Result<Json<Decided>, Problem> {
    decide(&app, &caller, HeldVerdict::Reject, &body).await
}

/// These endpoints.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(release_removals)).routes(routes!(reject_removals))
}
