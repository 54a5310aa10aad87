//! The pages: plain HTML without script. Every field is escaped by the templates in `templates/`; no
//! page may be framed, kept by a cache, or load anything but our one stylesheet.

mod callback;
mod cookies;
mod home;
pub mod leaver;
mod login;
pub mod request;
pub mod requests;
mod shell;
mod sign_in;
mod sign_out;
mod style;

use std::sync::Arc;

use askama::Template;
use axum::{Router, middleware::map_response, response::Html};

use crate::{
    api::App,
    base::{Problem, Result},
};

pub(crate) use shell::{Shown, Visitor, page, page_for, problem_page};

/// A page as HTML; everything in it is escaped.
///
/// # Errors
/// `internal` where the template fails.
pub fn render(page: &impl Template) -> Result<Html<String>> {
    page.render().map(Html).map_err(|e| Problem::internal(format!("a page could not be written: {e}")))
}

/// All pages.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .merge(home::routes())
        .merge(sign_in::routes())
        .merge(callback::routes())
        .merge(login::routes())
        .merge(sign_out::routes())
        .merge(requests::route())
        .merge(request::route())
        .merge(leaver::route())
        .layer(map_response(shell::guard))
        // Outside the layer: a stylesheet may be kept.
        .merge(style::routes())
}
