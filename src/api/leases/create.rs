//! `POST /api/v1/leases`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{LeaseView, role};
use crate::{
    api::{
        AnyAuth, App, Json,
        secrets::{Encoding, plain, written},
    },
    base::{LeaseRef, Problem, ProblemKind, Result, SecretValue, time::parse_duration},
    policy::Action,
};

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLease {
    /// The role: `APPLICATION/ENVIRONMENT/ROLE`.
    at: String,
    /// For how long, such as `1h`; an hour where nothing is said, and never longer than what allows it.
    #[serde(default, rename = "for")]
    length: Option<String>,
}

/// A part of the credentials.
#[derive(Serialize, ToSchema)]
pub struct CredentialView {
    /// As the engine calls it: `username`, `password`.
    name: String,
    /// `utf8`, or `base64` for bytes that are no text.
    encoding: Encoding,
    /// The value.
    #[serde(serialize_with = "plain")]
    #[schema(value_type = String)]
    value: Zeroizing<String>,
}

impl CredentialView {
    fn of(name: String, value: &SecretValue) -> Self {
        let (encoding, value) = written(value);
        Self { name, encoding, value }
    }
}

/// A lease with its credentials.
#[derive(Serialize, ToSchema)]
pub struct LentView {
    /// The lease.
    lease: LeaseView,
    /// The credentials: told here and nowhere else.
    credentials: Vec<CredentialView>,
}

/// Have credentials of a role made for you. It is recorded that you know them before they leave.
///
/// They end by themselves, with the grant that they took, and when you leave. Under an `Idempotency-Key` that
/// was used before nothing is issued, and the credentials of then are not told again.
#[utoipa::path(
    post,
    path = "/leases",
    tag = "leases",
    request_body = NewLease,
    responses(
        (status = 201, description = "The credentials; never kept by anybody.", body = LentView),
        (status = 400, description = "`invalid-request`: no role, or no time."),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`: no such environment, or no file declares the role."),
        (status = 409, description = "`conflict`: you have too many."),
        (status = 500, description = "`invalid-configuration`: the engine makes no credentials."),
        (status = 502, description = "`engine-fault`: no credentials have left."),
        (status = 503, description = "`not-recorded`, `outcome-unknown`, `engine-unavailable`: no credentials have left."),
    )
)]
async fn create(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Json(body): Json<NewLease>,
) -> Result<(StatusCode, Json<LentView>), Problem> {
    let at: LeaseRef = body.at.parse().map_err(Problem::invalid)?;
    let length = body.length.as_deref().map(parse_duration).transpose().map_err(Problem::invalid)?;
    let resource = role(&app, &at).await?;
    let act = |permit| app.leases.issue(permit, length);
    let lent = match app.gate.act(&caller, Action::Lease, resource, act).await {
        Err(denied) if denied.is(ProblemKind::Denied) || denied.is(ProblemKind::NeedsGrant) => {
            // Where no grant would help, that is what there is to say; of what is declared, only to whom a
            // grant could be given.
            let is_declared = app.catalog.snapshot().await?.lease_role(&at).is_some();
            if !is_declared || denied.is(ProblemKind::NeedsGrant) {
                app.leases.can_be_made(&at).await?;
            }
            return Err(denied);
        }
        outcome => outcome?,
    };
    let credentials = lent.values.into_iter().map(|(name, value)| CredentialView::of(name, &value)).collect();
    Ok((StatusCode::CREATED, Json(LentView { lease: LeaseView::from(&lent.lease), credentials })))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create))
}
