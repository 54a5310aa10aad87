//! `POST /sign-out`

use std::sync::Arc;

use askama::Template;
use axum::{
    Form, Router,
    extract::State,
    http::header,
    response::{AppendHeaders, IntoResponse},
    routing::post,
};
use serde::Deserialize;

use super::{Shown, Visitor, cookies, page_for, problem_page};
use crate::{
    api::App,
    identity::ProviderSignOut,
    policy::{Action, Resource},
};

#[derive(Deserialize)]
struct Leave {
    csrf: String,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage {
    provider: Option<ProviderForm>,
}

/// The ID token goes to the provider in a form: an address would show it to logs and histories.
struct ProviderForm {
    name: String,
    action: String,
    id_token_hint: String,
}

impl From<ProviderSignOut> for ProviderForm {
    fn from(it: ProviderSignOut) -> Self {
        Self {
            name: it.provider.to_string(),
            action: it.url.to_string(),
            id_token_hint: it.id_token_hint.expose_text().unwrap_or_default().to_owned(),
        }
    }
}

async fn sign_out(State(app): State<Arc<App>>, visitor: Visitor, Form(leave): Form<Leave>) -> Shown {
    visitor.check_post(&app, &leave.csrf).await?;
    let session = visitor.caller.session;
    // A provider that does not answer keeps nobody signed in here.
    let provider = app.identity.provider_sign_out(session).await.ok().flatten();
    app.gate
        .act(&visitor.caller, Action::EndOwnSession, Resource::Own, |permit| {
            app.identity.end_session(permit, session)
        })
        .await
        .map_err(|problem| problem_page(&problem))?;
    let elsewhere = provider.as_ref().map(|it| it.url.origin().ascii_serialization()).unwrap_or_default();
    let shown = page_for(&SignedOutPage { provider: provider.map(ProviderForm::from) }, &elsewhere)?;
    let dropped = cookies::drop(&app.identity, &app.identity.session_cookie_name());
    Ok((AppendHeaders([(header::SET_COOKIE, dropped)]), shown).into_response())
}

/// Signing out.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/sign-out", post(sign_out))
}
