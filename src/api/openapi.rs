//! `GET /api/v1/openapi.json`: OpenAPI 3.1, made from the code.

use std::sync::Arc;

use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    App, audit, catalog, deliveries, grants, identity, leavers, requests, rotation, secrets, version,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Port Control", description = "People get, use and lose access to secrets."),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        api.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// Every endpoint under `/api/v1` and `/audit`, with its description.
pub(super) fn endpoints() -> OpenApiRouter<Arc<App>> {
    let all = OpenApiRouter::new()
        .merge(version::route())
        .merge(identity::routes())
        .merge(catalog::routes())
        .merge(secrets::routes())
        .merge(requests::routes())
        .merge(grants::list::route())
        .merge(leavers::routes())
        .merge(rotation::list::route())
        .merge(deliveries::routes());
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", all).merge(audit::routes())
}

/// The description of the API.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    endpoints().into_openapi()
}
