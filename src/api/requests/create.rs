//! `POST /api/v1/requests`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{GrantView, PersonView, RequestView};
use crate::{
    access::{Ask, Asked},
    api::{App, Auth, Json},
    base::{EnvironmentRef, Problem, Result, time::parse_duration},
    policy::{Action, Resource},
};

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// What you want to do: `reveal`, `set`, …
    pub action: String,
    /// Where: `APPLICATION/ENVIRONMENT[@TEAM]`.
    pub at: String,
    /// In which trust scope, where more than one would allow it.
    #[serde(default)]
    pub scope: Option<String>,
    /// For how long, such as `1h`.
    #[serde(rename = "for")]
    pub length: String,
    /// Why: 1 to 4096 bytes.
    pub reason: String,
}

impl NewRequest {
    fn read(self) -> Result<(EnvironmentRef, Ask)> {
        let ask = Ask {
            action: self.action.parse().map_err(Problem::invalid)?,
            scope: self.scope.map(|name| name.parse()).transpose().map_err(Problem::invalid)?,
            length: parse_duration(&self.length).map_err(Problem::invalid)?,
            reason: self.reason,
        };
        Ok((self.at.parse().map_err(Problem::invalid)?, ask))
    }
}

/// The answer to asking.
#[derive(Serialize, ToSchema)]
pub struct Answer {
    /// The request: a new one, the one that was pending, or the one that your live grant came from.
    pub request: RequestView,
    /// Your live grant, where you have one: then nothing has to be asked for.
    pub grant: Option<GrantView>,
    /// Who can approve it.
    pub approvers: Vec<PersonView>,
    /// The page where it is decided.
    pub link: String,
    /// Whether a request was made: where not, nothing of what was sent was recorded.
    pub created: bool,
}

impl Answer {
    async fn of(app: &App, asked: &Asked) -> Result<Self> {
        Ok(Self {
            request: RequestView::of(app, &asked.request).await?,
            grant: asked.grant.as_ref().map(GrantView::from),
            approvers: asked.approvers.iter().map(PersonView::from).collect(),
            link: asked.link.clone(),
            created: asked.created,
        })
    }
}

/// Ask for a trust scope for a while.
///
/// A live grant of your own, or your own pending request, for the same trust scope and environment is
/// the answer instead of a new request.
#[utoipa::path(
    post,
    path = "/requests",
    tag = "requests",
    request_body = NewRequest,
    responses(
        (status = 201, description = "Asked for.", body = Answer),
        (status = 200, description = "Asked for or granted already.", body = Answer),
        (status = 400, description = "`invalid-request`: a time that is too long, no reason."),
        (status = 403, description = "`denied`: nothing that you can ask for allows it."),
        (status = 409, description = "`ambiguous`: several trust scopes would allow it."),
    )
)]
async fn create(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Json(body): Json<NewRequest>,
) -> Result<(StatusCode, Json<Answer>), Problem> {
    let (at, ask) = body.read()?;
    let environment = app.catalog.snapshot().await?.environment(&at)?;
    let asked = app
        .gate
        .act(&caller, Action::Request, Resource::Environment(environment), |permit| {
            app.requests.create(permit, ask.clone())
        })
        .await?;
    let status = if asked.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Answer::of(&app, &asked).await?)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create))
}
