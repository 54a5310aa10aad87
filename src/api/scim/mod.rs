//! `/scim/v2/{connection}`: the service provider of SCIM 2.0 (RFC 7644).
//!
//! It describes itself at `/ServiceProviderConfig`, `/ResourceTypes` and `/Schemas`, and is no part of the
//! OpenAPI document. Callers are connections, each by a token of its own; bodies, also of errors, are those
//! of the standard.

mod answer;
mod caller;
mod discovery;
mod groups;
mod list;
mod users;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn,
    routing::{any, get, post},
};

use super::App;

/// Longest body: a group of twenty thousand members.
const LONGEST_BODY: usize = 4 * 1024 * 1024;

/// These routes.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/scim/v2/{connection}/Users", get(users::list).post(users::create))
        .route(
            "/scim/v2/{connection}/Users/{id}",
            get(users::show).put(users::replace).patch(users::patch).delete(users::delete),
        )
        .route("/scim/v2/{connection}/Users/.search", post(users::search))
        .route("/scim/v2/{connection}/Groups", get(groups::list).post(groups::create))
        .route(
            "/scim/v2/{connection}/Groups/{id}",
            get(groups::show).put(groups::replace).patch(groups::patch).delete(groups::delete),
        )
        .route("/scim/v2/{connection}/Groups/.search", post(groups::search))
        .route("/scim/v2/{connection}/.search", post(list::search))
        .route("/scim/v2/{connection}/ServiceProviderConfig", get(discovery::service_provider))
        .route("/scim/v2/{connection}/ResourceTypes", get(discovery::resource_types))
        .route("/scim/v2/{connection}/ResourceTypes/{id}", get(discovery::resource_type))
        .route("/scim/v2/{connection}/Schemas", get(discovery::schemas))
        .route("/scim/v2/{connection}/Schemas/{id}", get(discovery::schema))
        .route("/scim/v2/{connection}/{*rest}", any(discovery::nothing))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn(answer::errors))
}
