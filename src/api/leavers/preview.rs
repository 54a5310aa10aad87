//! `GET /api/v1/leavers/{person}/preview`

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{App, Auth, Json},
    base::Problem,
    policy::{Action, PersonStatus, Resource},
    revocation::Preview,
};

/// A request that she could decide.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PowerView {
    /// The request, `req_…`.
    pub request: String,
    /// Who asked, `per_…`.
    pub person: String,
    /// For which trust scope.
    pub scope: String,
    /// Where.
    pub at: String,
    /// How many others could decide it now.
    pub others: usize,
}

/// What would end if she left now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewView {
    /// Who, `per_…`.
    pub person: String,
    /// What she is now.
    pub status: String,
    /// Sessions that would end.
    pub sessions: i64,
    /// Requests of hers that would be withdrawn.
    pub requests: i64,
    /// Grants that would end.
    pub grants: i64,
    /// Leases that would be taken back.
    pub leases: i64,
    /// Requests of others that she could decide.
    pub powers: Vec<PowerView>,
    /// Secrets in use whose values she knows: they would have to be changed.
    pub secrets: Vec<String>,
}

impl PreviewView {
    fn of(person: &crate::identity::Person, preview: &Preview) -> Self {
        let power = |it: &crate::access::Power| PowerView {
            request: it.request.id.to_string(),
            person: it.request.person.to_string(),
            scope: it.request.scope.to_string(),
            at: it.request.at.to_string(),
            others: it.others,
        };
        Self {
            person: person.id.to_string(),
            status: person.status.as_str().to_owned(),
            sessions: preview.sessions,
            requests: preview.requests,
            grants: preview.grants,
            leases: preview.leases,
            // Nobody who has left decides anything.
            powers: match person.status {
                PersonStatus::Deactivated => Vec::new(),
                _ => preview.powers.iter().map(power).collect(),
            },
            secrets: preview.secrets.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What would end if somebody left now. Nothing is changed.
#[utoipa::path(
    get,
    path = "/leavers/{person}/preview",
    tag = "leavers",
    params(("person" = String, Path, description = "`per_…` or an e-mail address")),
    responses(
        (status = 200, description = "What would end.", body = PreviewView),
        (status = 403, description = "`denied`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous`: two people have that address."),
    )
)]
async fn preview(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
) -> Result<Json<PreviewView>, Problem> {
    let address = person.parse().map_err(|e: String| Problem::invalid(e))?;
    let permit = app.gate.authorize(&caller, Action::SeePeople, Resource::People).await?;
    let person = app.identity.find_person(&permit, &address).await?;
    let preview = app.revocation.preview(permit, person.id).await?;
    Ok(Json(PreviewView::of(&person, &preview)))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(preview))
}
