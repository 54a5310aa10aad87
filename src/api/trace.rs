//! What the server's own log says of a request: an id that the answer carries, too, the method and the
//! path. Never a query: codes stand there.

use axum::{extract::Request, response::Response};
use std::time::Duration;
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    trace::TraceLayer,
};
use tracing::Span;

/// The header with the id; a proxy may have given one.
const ID: &str = "x-request-id";
/// Longest id and path that are written down.
const LONGEST: usize = 200;

type Layer = TraceLayer<
    SharedClassifier<ServerErrorsAsFailures>,
    fn(&Request) -> Span,
    (),
    fn(&Response, Duration, &Span),
    (),
    (),
    (),
>;

/// Everything that is written while a request is answered says which request it was.
pub(super) fn layer() -> Layer {
    TraceLayer::new_for_http()
        .make_span_with(span as fn(&Request) -> Span)
        .on_request(())
        .on_response(answered as fn(&Response, Duration, &Span))
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

fn span(request: &Request) -> Span {
    let id = request.headers().get(ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
    tracing::info_span!("request", id = cut(id), method = %request.method(), path = cut(request.uri().path()))
}

fn answered(answer: &Response, took: Duration, _: &Span) {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(status = answer.status().as_u16(), millis, "answered");
}
