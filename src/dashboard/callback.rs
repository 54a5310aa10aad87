//! `GET /sign-in/{provider}/callback`

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, header},
    response::{AppendHeaders, IntoResponse, Redirect},
    routing::get,
};

use super::{Shown, Visitor, cookies, problem_page};
use crate::{
    api::{App, Network, cookie},
    identity::{Arrival, Callback},
};

async fn callback(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Path(provider): Path<String>,
    Query(callback): Query<Callback>,
    headers: HeaderMap,
    before: Option<Visitor>,
) -> Shown {
    let identity = &app.identity;
    let arrival = Arrival {
        label: browser_of(&headers),
        network,
        replaces: before.map(|visitor| visitor.caller.session),
    };
    let cookie = |name: &str| cookie(&headers, &identity.cookie_name(name)).map(str::to_owned);
    let signed_in = identity
        .finish_sign_in(&provider, callback, cookie, arrival)
        .await
        .map_err(|problem| problem_page(&problem))?;
    let token = signed_in.session.token.expose_text().unwrap_or_default();
    let life = identity.longest_session();
    let set = AppendHeaders([
        (header::SET_COOKIE, cookies::keep(identity, &identity.session_cookie_name(), token, life)),
        (header::SET_COOKIE, cookies::drop(identity, &identity.cookie_name(&signed_in.cookie_name))),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ]);
    Ok((set, Redirect::to(&signed_in.return_to)).into_response())
}

/// What the person will know the session by.
fn browser_of(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("");
    let known = ["Firefox", "Edg", "Chrome", "Safari"].into_iter().find(|name| agent.contains(name));
    let system =
        ["Windows", "Mac OS", "Android", "iPhone", "Linux"].into_iter().find(|it| agent.contains(it));
    let browser = known.map_or("browser", |name| if name == "Edg" { "Edge" } else { name });
    system.map_or_else(|| browser.to_owned(), |system| format!("{browser} on {system}"))
}

/// Coming back from the provider.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/sign-in/{provider}/callback", get(callback))
}
