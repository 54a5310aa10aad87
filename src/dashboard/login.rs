//! `GET /logins/{login}` and `POST /logins/{login}`: the click that signs a command line in.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde::Deserialize;

use super::{Shown, Visitor, page_for, problem_page, sign_in::sign_in_address};
use crate::{
    api::App,
    base::{Problem, ids::LoginId},
    policy::{Action, Resource},
};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    login: LoginId,
    machine: &'a str,
    name: &'a str,
    confirms: bool,
    csrf: &'a str,
}

#[derive(Deserialize)]
struct Click {
    csrf: String,
}

fn id(text: &str) -> Result<LoginId, Response> {
    text.parse().map_err(|why: String| problem_page(&Problem::invalid(why)))
}

async fn show(State(app): State<Arc<App>>, Path(login): Path<String>, visitor: Visitor) -> Shown {
    let shown = async {
        let login = app.identity.pending_login(login.parse().map_err(Problem::invalid)?).await?;
        let first = app.identity.before_confirming(&visitor.caller, &login).await?;
        Ok((login, first, app.identity.person(visitor.caller.person).await?))
    };
    let (login, first, person) = shown.await.map_err(|problem: Problem| problem_page(&problem))?;
    if let Some(wish) = first {
        return Ok(Redirect::to(&sign_in_address(&app, &wish)).into_response());
    }
    let template = LoginPage {
        login: login.id,
        machine: &login.machine,
        name: &person.display_name,
        confirms: login.confirmation.is_some(),
        csrf: &visitor.csrf,
    };
    // The form is answered with a redirect to the loopback port, which browsers hold against this.
    page_for(&template, "http://127.0.0.1:*")
}

async fn click(
    State(app): State<Arc<App>>,
    Path(login): Path<String>,
    visitor: Visitor,
    Form(click): Form<Click>,
) -> Shown {
    let login = id(&login)?;
    visitor.check_post(&app, &click.csrf).await?;
    let caller = &visitor.caller;
    let back = app
        .gate
        .act(caller, Action::SignInCli, Resource::Own, |permit| {
            app.identity.approve_login(permit, caller, login)
        })
        .await
        .map_err(|problem| problem_page(&problem))?;
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")];
    Ok((headers, Redirect::to(back.as_str())).into_response())
}

/// The page, and its click.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/logins/{login}", get(show).post(click))
}
