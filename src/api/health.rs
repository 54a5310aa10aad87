//! `GET /healthz` and `GET /readyz`, for probes.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};

use super::App;
use crate::store::sql;

/// How long the database may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// The process lives.
async fn healthy() -> &'static str {
    "ok\n"
}

/// It can answer: the database does, and nobody has told it to stop.
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let asked = app.database.fetch_optional::<(i64,)>(sql("SELECT size FROM log_head WHERE id = 1"));
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(Some(_))) => (StatusCode::OK, "ready\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}

/// Both.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(healthy)).route("/readyz", get(ready))
}
