//! `/scim/v2/{connection}/Groups`

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{
    answer::{Body, ScimJson, resource, text, unless_known},
    caller::Connected,
    list::{Wanted, page, wish_of},
};
use crate::{api::App, base::Problem};

/// A page of them.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Wanted(query): Wanted,
) -> Result<ScimJson, Problem> {
    Ok(page(app.scim.list_groups(&speaker, &query.wish()?).await?))
}

/// The same, for who looks for more than an address can say.
pub(super) async fn search(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Body(body): Body,
) -> Result<ScimJson, Problem> {
    Ok(page(app.scim.list_groups(&speaker, &wish_of(&body)?).await?))
}

/// A new one.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Body(body): Body,
) -> Result<Response, Problem> {
    Ok(resource(StatusCode::CREATED, app.scim.create_group(&speaker, &body).await?))
}

/// One of them.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Path((_, id)): Path<(String, String)>,
    Wanted(query): Wanted,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let answer = app.scim.group(&speaker, &id, &query.projection()).await?;
    Ok(unless_known(&headers, answer))
}

/// Another in its place.
pub(super) async fn replace(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let if_match = text(&headers, &header::IF_MATCH);
    Ok(resource(StatusCode::OK, app.scim.replace_group(&speaker, &id, &body, if_match).await?))
}

/// Some of it changed.
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let if_match = text(&headers, &header::IF_MATCH);
    Ok(resource(StatusCode::OK, app.scim.patch_group(&speaker, &id, &body, if_match).await?))
}

/// Without it.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Connected(speaker): Connected,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.scim.delete_group(&speaker, &id, text(&headers, &header::IF_MATCH)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
