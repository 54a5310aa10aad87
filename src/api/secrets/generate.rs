//! `POST /api/v1/applications/{application}/environments/{environment}/secrets/{name}/generate`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{MadeView, SecretPath};
use crate::{
    api::{AnyAuth, App, Json},
    base::Problem,
    policy::Action,
    secrets::Recipe,
};

/// How the value is made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeBody {
    /// How many characters; 32 where nothing is said.
    #[serde(default)]
    length: Option<u32>,
    /// Of which; letters and digits where nothing is said.
    #[serde(default)]
    alphabet: Option<String>,
    /// The number that the newest version has to have still; 0 where there must be none.
    #[serde(default)]
    expect_version: Option<i64>,
}

/// Make a new version with a value that nobody has seen.
#[utoipa::path(
    post,
    path = "/applications/{application}/environments/{environment}/secrets/{name}/generate",
    tag = "secrets",
    params(SecretPath),
    request_body = RecipeBody,
    responses(
        (status = 201, description = "Made.", body = MadeView),
        (status = 400, description = "`invalid-request`: it could be guessed."),
        (status = 403, description = "`denied`, `needs-grant`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`managed-by-files`: it lives elsewhere and may not be changed from here."),
        (status = 412, description = "`precondition-failed`: the newest version is another."),
        (status = 503, description = "`not-recorded`, `outcome-unknown`, `engine-unavailable`"),
    )
)]
async fn generate(
    State(app): State<Arc<App>>,
    AnyAuth(caller): AnyAuth,
    Path(path): Path<SecretPath>,
    Json(body): Json<RecipeBody>,
) -> Result<(StatusCode, Json<MadeView>), Problem> {
    let recipe = Recipe::new(body.length, body.alphabet.as_deref())?;
    let resource = path.resource(&app).await?;
    let act = |permit| app.secrets.generate(permit, &recipe, body.expect_version);
    let made = app.gate.act(&caller, Action::Set, resource, act).await?;
    Ok((StatusCode::CREATED, Json(MadeView::of(&path.name, &made))))
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(generate))
}
