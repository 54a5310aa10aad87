//! `GET /healthz` and `GET /readyz`, for probes.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::App;
use crate::base::ProblemKind;

/// How long the database may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);
/// What probes ask.
const PROBES: &[&str] = &["/healthz", "/readyz", "/metrics"];

/// Whether this is the path of a probe, which is always answered.
pub(super) fn is_probe(path: &str) -> bool {
    PROBES.contains(&path)
}

/// The process answers.
async fn healthy() -> &'static str {
    "ok\n"
}

/// It can do what it is for: the database answers, the log can be written and is what it was, and nobody
/// has told it to stop.
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, String) {
    let not = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"));
    if app.stop.is_cancelled() {
        return not("stopping");
    }
    match tokio::time::timeout(PATIENCE, app.log.check()).await {
        Ok(Ok(())) => (StatusCode::OK, "ready\n".to_owned()),
        Ok(Err(problem)) => not(problem.kind.slug()),
        Err(_) => not(ProblemKind::DatabaseUnavailable.slug()),
    }
}

/// Both.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(healthy)).route("/readyz", get(ready))
}
