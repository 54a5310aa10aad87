//! What the service provider says of itself (RFC 7644, section 4).

use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::Value;

use super::{answer::ScimJson, caller::Connected, list::page};
use crate::{
    api::App,
    base::{Problem, Result},
    identity::scim::{
        Listed, Speaker, resource_types as types, schemas as all_schemas, service_provider as config,
    },
};

fn base(app: &App, speaker: &Speaker) -> String {
    let server = app.config.public_url.as_str().trim_end_matches('/');
    format!("{server}/scim/v2/{}", speaker.connection.name)
}

fn listed(resources: Vec<Value>) -> ScimJson {
    page(Listed { total: i64::try_from(resources.len()).unwrap_or_default(), start_index: 1, resources })
}

fn one(resources: Vec<Value>, id: &str) -> Result<ScimJson> {
    let found = resources.into_iter().find(|it| it["id"].as_str() == Some(id));
    found.map(ScimJson).ok_or_else(|| Problem::not_found("there is no such description"))
}

/// What is supported.
pub(super) async fn service_provider(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
) -> Result<ScimJson, Problem> {
    Ok(ScimJson(config(&base(&app, &speaker))))
}

/// The kinds of resources.
pub(super) async fn resource_types(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
) -> Result<ScimJson, Problem> {
    Ok(listed(types(&base(&app, &speaker))))
}

/// One of them.
pub(super) async fn resource_type(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Path((_, id)): Path<(String, String)>,
) -> Result<ScimJson, Problem> {
    one(types(&base(&app, &speaker)), &id)
}

/// The attributes of each.
pub(super) async fn schemas(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
) -> Result<ScimJson, Problem> {
    Ok(listed(all_schemas(&base(&app, &speaker))))
}

/// Those of one.
pub(super) async fn schema(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Path((_, id)): Path<(String, String)>,
) -> Result<ScimJson, Problem> {
    one(all_schemas(&base(&app, &speaker)), &id)
}

/// Nothing is there, and that is said as SCIM has it.
pub(super) async fn nothing(Connected(_): Connected) -> Problem {
    Problem::not_found("there is nothing at this address")
}
