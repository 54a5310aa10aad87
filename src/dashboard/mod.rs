//! The pages: plain HTML without script. Every field is escaped by the templates in `templates/`; no
//! page may be framed, kept by a cache, or load anything but our one stylesheet.

mod callback;
mod cookies;
mod device;
mod home;
mod leaver;
mod login;
mod request;
mod requests;
mod rotation;
mod shell;
mod sign_in;
mod sign_out;
mod style;

use std::sync::Arc;

use axum::{
    Router,
    middleware::{from_fn_with_state, map_response},
};

use crate::api::App;

pub(crate) use shell::{Shown, Visitor, page, page_for, problem_page};

/// All pages.
pub fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .merge(home::routes())
        .merge(sign_in::routes())
        .merge(callback::routes())
        .merge(login::routes())
        .merge(device::routes())
        .merge(sign_out::routes())
        .merge(requests::route())
        .merge(request::route())
        .merge(leaver::route())
        .merge(rotation::route())
        .layer(map_response(shell::refusal))
        .layer(from_fn_with_state(Arc::clone(app), shell::step_up))
        .layer(map_response(shell::guard))
        // Outside the layer: a stylesheet may be kept.
        .merge(style::routes())
}
