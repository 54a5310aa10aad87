//! `/requests`: what waits for you, and what you asked for.

use std::sync::Arc;

use askama::Template;
use axum::{Router, extract::State, response::Html, routing::get};

use super::render;
use crate::{
    access::Request,
    api::{App, Auth, requests::RequestView},
    base::{Problem, Result},
    policy::{Action, Resource},
};

#[derive(Template)]
#[template(path = "requests.html")]
struct Page {
    to_decide: Vec<RequestView>,
    mine: Vec<RequestView>,
}

async fn views(app: &App, requests: &[Request]) -> Result<Vec<RequestView>> {
    let mut views = Vec::with_capacity(requests.len());
    for request in requests {
        views.push(RequestView::of(app, request).await?);
    }
    Ok(views)
}

async fn page(State(app): State<Arc<App>>, Auth(caller): Auth) -> Result<Html<String>, Problem> {
    let permit = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
    let to_decide = app.requests.to_decide(permit).await?;
    let permit = app.gate.authorize(&caller, Action::SeeOwn, Resource::Own).await?;
    let mine = app.requests.mine(permit, None).await?;
    render(&Page { to_decide: views(&app, &to_decide).await?, mine: views(&app, &mine).await? })
}

/// This page.
pub fn route() -> Router<Arc<App>> {
    Router::new().route("/requests", get(page))
}
