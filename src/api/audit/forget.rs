//! `POST /audit/v1/people/{person}/forget`

use std::{sync::Arc, time::Duration};

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth, Json},
    audit::{
        forget::{Forgetter, Whom},
        retention::wants_reason,
    },
    base::{Problem, time::Stopwatch},
    identity::PersonAddress,
    policy::{Action, Resource},
};

/// How long one call walks; whoever asks calls again.
const ONE_WALK: Duration = Duration::from_secs(1);

/// Why, and where to go on.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// In the words of whoever does it; at most 4 KiB, kept in the log. It had better not name her.
    pub reason: String,
    /// `next` of the answer before.
    #[serde(default)]
    pub from: u64,
}

/// How far it has come.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ForgottenView {
    /// What her entries call her from now on.
    pub pseudonym: String,
    /// From how many entries something was taken by this call.
    pub entries: u64,
    /// How many openings were destroyed by this call.
    pub openings: u64,
    /// Post again with `from` set to this; null once the whole log was walked and she is forgotten.
    pub next: Option<u64>,
}

/// Forget a person who left: destroys the openings that name her, as far as they are older than
/// `[log] retention`. The log stays what it is: it verifies, and says which openings are gone.
#[utoipa::path(
    post,
    path = "/audit/v1/people/{person}/forget",
    tag = "audit",
    params(("person" = String, Path, description = "By id or e-mail address.")),
    request_body = ForgetRequest,
    responses(
        (status = 200, description = "Some of the log was walked, a second's worth.", body = ForgottenView),
        (status = 400, description = "`invalid-request`"),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`conflict`: not deactivated, not long enough, or under a hold; `ambiguous`"),
    )
)]
async fn forget(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
    Json(body): Json<ForgetRequest>,
) -> Result<Json<ForgottenView>, Problem> {
    let permit = app.gate.authorize(&caller, Action::Forget, Resource::Log).await?;
    wants_reason(&body.reason)?;
    let address: PersonAddress = person.parse().map_err(Problem::invalid)?;
    let found = app.identity.find_person(&permit, &address).await?;
    let whom = Whom { person: found.id, email: found.email, name: found.display_name };
    let retention = app.config.log.retention;
    let forgetter = Forgetter::new(app.database.clone(), app.log.clone(), app.keys.clone(), retention)
        .with_archivist(app.archivist.clone());
    let mut permit = permit;
    let (since, mut from, mut entries, mut openings) = (Stopwatch::start(), body.from, 0, 0);
    loop {
        let walked = forgetter.step(permit, &whom, &body.reason, from).await?;
        (entries, openings) = (entries + walked.entries, openings + walked.openings);
        permit = app.gate.authorize(&caller, Action::Forget, Resource::Log).await?;
        match walked.next {
            Some(next) if since.elapsed() < ONE_WALK => from = next,
            Some(_) => {
                let (pseudonym, next) = (walked.pseudonym, walked.next);
                return Ok(Json(ForgottenView { pseudonym, entries, openings, next }));
            }
            None => {
                let pseudonym = walked.pseudonym;
                app.identity.forget_person(permit, whom.person, &pseudonym, retention).await?;
                return Ok(Json(ForgottenView { pseudonym, entries, openings, next: None }));
            }
        }
    }
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(forget))
}
