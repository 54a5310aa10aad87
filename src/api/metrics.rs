//! `GET /metrics`: the four golden signals, in the Prometheus text format.
//!
//! Labels are methods, route patterns and status classes: never a name, an id or an address.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
    routing::get,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::base::time::Stopwatch;

/// Upper ends of the latency buckets, in seconds.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How often what was gathered is folded.
const UPKEEP: Duration = Duration::from_secs(5);

/// One recorder a process: that is how the `metrics` crate works.
static RECORDER: LazyLock<Option<PrometheusHandle>> = LazyLock::new(|| {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)
        .ok()?
        .install_recorder()
        .ok()
});

async fn metrics(State(app): State<Arc<App>>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("port_control_log_entries").set(app.log.head().size as f64);
    RECORDER.as_ref().map(PrometheusHandle::render).unwrap_or_default()
}

/// This endpoint.
pub(super) fn routes() -> Router<Arc<App>> {
    LazyLock::force(&RECORDER);
    Router::new().route("/metrics", get(metrics))
}

/// A request that is being answered, whatever becomes of it.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        metrics::gauge!("port_control_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("port_control_requests_in_flight").decrement(1.0);
    }
}

/// Anybody can make up methods, and each label is kept for ever.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Lets the recorder fold what it has gathered, until `stop`: nobody may be asking for it.
pub async fn upkeep(stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Some(recorder) = RECORDER.as_ref() {
            recorder.run_upkeep();
        }
        let _ = tokio::time::timeout(UPKEEP, stop.cancelled()).await;
    }
}

/// Counts and times a request.
pub(super) async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = method_label(request.method());
    let watch = Stopwatch::start();
    let in_flight = InFlight::begin();
    let answer = next.run(request).await;
    drop(in_flight);
    let status = format!("{}xx", answer.status().as_u16() / 100);
    let labels = [("method", method.to_owned()), ("route", route), ("status", status)];
    metrics::counter!("port_control_requests_total", &labels).increment(1);
    metrics::histogram!("port_control_request_seconds", &labels).record(watch.elapsed().as_secs_f64());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_panics_or_is_given_up_is_no_longer_in_flight() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let panicked = std::panic::catch_unwind(|| {
                let _in_flight = InFlight::begin();
                assert!(handle.render().contains("port_control_requests_in_flight 1"), "{}", handle.render());
                panic!("as an endpoint might");
            });
            assert!(panicked.is_err());
        });
        assert!(handle.render().contains("port_control_requests_in_flight 0"), "{}", handle.render());
    }
}
