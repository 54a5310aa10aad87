//! `/leavers/{person}`: a leaver, counted down to zero.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    response::Html,
    routing::get,
};

use super::render;
use crate::{
    api::{
        App, Auth,
        leavers::{LeaverView, show::leaver},
    },
    base::Problem,
};

#[derive(Template)]
#[template(path = "leaver.html")]
struct Page {
    leaver: LeaverView,
}

async fn page(
    State(app): State<Arc<App>>,
    Auth(caller): Auth,
    Path(person): Path<String>,
) -> Result<Html<String>, Problem> {
    let leaver = leaver(&app, &caller, &person).await?;
    render(&Page { leaver: LeaverView::from(&leaver) })
}

/// This page.
pub fn route() -> Router<Arc<App>> {
    Router::new().route("/leavers/{person}", get(page))
}
