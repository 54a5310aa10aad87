//! Everything that the server answers, and what holds for all of it.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, header},
    middleware::{from_fn, from_fn_with_state},
    response::IntoResponse as _,
    routing::get,
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
};

use super::{
    App, Json, Limits, backchannel, health, host,
    idempotency::{self, Keeper},
    limits::{self, Places},
    metrics, openapi, refusal, scim, trace,
};
use crate::{
    base::{Problem, ProblemKind},
    dashboard,
};

/// Longest body, where an endpoint says nothing else: a value of 64 KiB in base64, and room.
pub(super) const LONGEST_BODY: usize = 1024 * 1024;

/// The server's router.
pub fn router(app: Arc<App>) -> Router {
    router_within(app, Limits::default())
}

/// The same, where callers may take up more or less than usual.
pub fn router_within(app: Arc<App>, limits: Limits) -> Router {
    let (endpoints, _) = openapi::endpoints().split_for_parts();
    let keeper = Keeper::new(Arc::clone(&app));
    let document = Arc::new(openapi::document());
    let described = get(async move || Json(Arc::clone(&document)));
    Router::new()
        .merge(endpoints.layer(from_fn_with_state(keeper, idempotency::once)))
        .route("/api/v1/openapi.json", described)
        .merge(dashboard::routes(&app))
        .merge(backchannel::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(scim::routes())
        .fallback(async || Problem::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Problem::new(ProblemKind::MethodNotAllowed, "this address does not take this method")
        })
        .layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                .layer(trace::layer())
                .layer(PropagateRequestIdLayer::x_request_id())
                .layer(header_where_none(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .layer(header_where_none(header::X_FRAME_OPTIONS, "DENY"))
                .layer(header_where_none(header::CACHE_CONTROL, "no-store"))
                .layer(header_where_none(
                    header::CONTENT_SECURITY_POLICY,
                    "default-src 'none'; frame-ancestors 'none'",
                ))
                .layer(header_where_none(header::REFERRER_POLICY, "same-origin"))
                // Outside what may cut an answer short, so that it counts that, too.
                .layer(from_fn(metrics::measure))
                .layer(CatchPanicLayer::custom(|_| {
                    Problem::internal("answering this panicked").into_response()
                }))
                .layer(from_fn(refusal::as_problem))
                .layer(from_fn_with_state(Arc::clone(&app), host::own))
                .layer(from_fn_with_state((Arc::clone(&app), Places::new(limits)), limits::places))
                .layer(from_fn_with_state(limits, limits::in_time))
                .layer(from_fn_with_state(limits, limits::bodies))
                .layer(DefaultBodyLimit::max(LONGEST_BODY)),
        )
        .with_state(app)
}

fn header_where_none(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
