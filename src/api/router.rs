//! Everything that the server answers, and what holds for all of it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::from_fn,
    response::IntoResponse as _,
    routing::get,
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
};

use super::{App, Json, health, metrics, openapi};
use crate::{
    base::{Problem, ProblemKind},
    dashboard,
};

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest body, where an endpoint says nothing else: a value of 64 KiB in base64, and room.
const LONGEST_BODY: usize = 1024 * 1024;

/// The server's router.
pub fn router(app: Arc<App>) -> Router {
    let (endpoints, document) = openapi::endpoints().split_for_parts();
    let document = Arc::new(document);
    let described = get(async move || Json(document.as_ref().clone()));
    Router::new()
        .merge(endpoints)
        .route("/api/v1/openapi.json", described)
        .merge(dashboard::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .fallback(async || Problem::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Problem::new(ProblemKind::MethodNotAllowed, "this address does not take this method")
        })
        .route_layer(from_fn(metrics::measure))
        .layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                .layer(PropagateRequestIdLayer::x_request_id())
                .layer(header_where_none(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .layer(header_where_none(header::CACHE_CONTROL, "no-store"))
                .layer(header_where_none(
                    header::CONTENT_SECURITY_POLICY,
                    "default-src 'none'; frame-ancestors 'none'",
                ))
                .layer(header_where_none(header::REFERRER_POLICY, "same-origin"))
                .layer(CatchPanicLayer::custom(|_| {
                    Problem::internal("answering this panicked").into_response()
                }))
                .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, PATIENCE))
                .layer(DefaultBodyLimit::max(LONGEST_BODY)),
        )
        .with_state(app)
}

fn header_where_none(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
