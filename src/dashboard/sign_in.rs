//! `GET /sign-in` and `GET /sign-in/{provider}`

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse, Redirect},
    routing::get,
};
use serde::Deserialize;

use super::{Shown, cookies, page, problem_page};
use crate::{
    api::{App, Network},
    identity::SignInWish,
};

/// What signing in is for.
#[derive(Default, Deserialize)]
struct Wish {
    #[serde(default)]
    return_to: String,
    /// Seconds.
    max_age: Option<u64>,
    /// Separated by spaces.
    #[serde(default)]
    acr_values: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    providers: Vec<&'a str>,
    query: String,
}

impl Wish {
    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("return_to", &self.return_to);
        if let Some(seconds) = self.max_age {
            query.append_pair("max_age", &seconds.to_string());
        }
        if !self.acr_values.is_empty() {
            query.append_pair("acr_values", &self.acr_values);
        }
        query.finish()
    }
}

/// Where a browser is sent that has to sign in anew: to the provider, where there is only one.
pub(super) fn sign_in_address(app: &App, wish: &SignInWish) -> String {
    let query = Wish {
        return_to: wish.return_to.clone(),
        max_age: wish.max_age.map(|age| age.as_secs()),
        acr_values: wish.acr_values.join(" "),
    }
    .query();
    let mut providers = app.identity.providers();
    match (providers.next(), providers.next()) {
        (Some(only), None) => format!("/sign-in/{only}?{query}"),
        _ => format!("/sign-in?{query}"),
    }
}

async fn choose(State(app): State<Arc<App>>, Query(wish): Query<Wish>) -> Shown {
    let providers = app.identity.providers().map(crate::base::Name::as_str).collect();
    page(&SignInPage { providers, query: wish.query() })
}

async fn begin(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Path(provider): Path<String>,
    Query(wish): Query<Wish>,
) -> Shown {
    let wish = SignInWish {
        return_to: wish.return_to,
        max_age: wish.max_age.map(Duration::from_secs),
        acr_values: wish.acr_values.split_whitespace().take(10).map(str::to_owned).collect(),
    };
    let begun = app
        .identity
        .begin_sign_in(&provider, wish, network)
        .await
        .map_err(|problem| problem_page(&problem))?;
    let name = app.identity.cookie_name(&begun.cookie_name);
    let cookie =
        cookies::keep(&app.identity, &name, begun.cookie.expose_text().unwrap_or_default(), begun.life);
    let headers = [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((headers, Redirect::to(begun.url.as_str())).into_response())
}

/// Choosing a provider, and being sent there.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/sign-in", get(choose)).route("/sign-in/{provider}", get(begin))
}
