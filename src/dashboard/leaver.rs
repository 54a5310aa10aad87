//! `/leavers/{person}`: a leaver, counted down to zero.

use std::sync::Arc;

use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};

use super::{Shown, Visitor, page, problem_page};
use crate::api::{
    App,
    leavers::{LeaverView, show::leaver},
};

#[derive(Template)]
#[template(path = "leaver.html")]
struct Page {
    leaver: LeaverView,
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor, Path(person): Path<String>) -> Shown {
    let leaver = leaver(&app, &visitor.caller, &person).await.map_err(|problem| problem_page(&problem))?;
    page(&Page { leaver: LeaverView::from(&leaver) })
}

/// This page.
pub fn route() -> Router<Arc<App>> {
    Router::new().route("/leavers/{person}", get(show))
}
