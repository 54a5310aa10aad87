//! `GET /style.css`

use std::sync::Arc;

use axum::{Router, http::header, response::IntoResponse, routing::get};

use crate::api::App;

async fn style() -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, include_str!("../../templates/style.css"))
}

/// The stylesheet.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/style.css", get(style))
}
