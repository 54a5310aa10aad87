//! `GET /` and `GET /whoami`: who one is here, and why.

use std::sync::Arc;

use askama::Template;
use axum::{Router, extract::State, response::Redirect, routing::get};

use super::{Shown, Visitor, page, problem_page};
use crate::api::{
    App,
    identity::{WhoamiView, whoami_view},
};

#[derive(Template)]
#[template(path = "whoami.html")]
struct WhoamiPage {
    view: WhoamiView,
    in_none: bool,
    csrf: String,
}

async fn whoami(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let view = whoami_view(&app, &visitor.caller).await.map_err(|problem| problem_page(&problem))?;
    let in_none = !view.scopes.iter().any(|standing| standing.within);
    page(&WhoamiPage { view, in_none, csrf: visitor.csrf })
}

/// The pages.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(async || Redirect::to("/whoami"))).route("/whoami", get(whoami))
}
