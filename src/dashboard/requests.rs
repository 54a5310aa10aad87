//! `/requests`: what waits for you, and what you asked for.

use std::sync::Arc;

use askama::Template;
use axum::{Router, extract::State, routing::get};

use super::{Shown, Visitor, page, problem_page};
use crate::{
    access::Request,
    api::{App, requests::RequestView},
    base::Result,
    identity::Caller,
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

async fn gathered(app: &App, caller: &Caller) -> Result<Page> {
    let permit = app.gate.authorize(caller, Action::SeeOwn, Resource::Own).await?;
    let to_decide = app.requests.to_decide(permit).await?;
    let permit = app.gate.authorize(caller, Action::SeeOwn, Resource::Own).await?;
    let mine = app.requests.mine(permit, None).await?;
    Ok(Page { to_decide: views(app, &to_decide).await?, mine: views(app, &mine).await? })
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    page(&gathered(&app, &visitor.caller).await.map_err(|problem| problem_page(&problem))?)
}

/// This page.
pub fn route() -> Router<Arc<App>> {
    Router::new().route("/requests", get(show))
}
