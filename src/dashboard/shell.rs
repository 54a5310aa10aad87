//! What all pages share: who visits, the headers, and how a problem is shown.

use std::{net::IpAddr, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{Html, IntoResponse, Redirect, Response},
};

use super::sign_in::sign_in_address;
use crate::{
    api::{App, Network, cookie, problem_in},
    base::{Problem, ProblemKind},
    identity::{Caller, SignInWish},
};

/// A page, or the problem in its place.
pub(crate) type Shown = Result<Response, Response>;

/// Somebody who is signed in by cookie. Whoever is not is sent to the sign-in page and back.
pub(crate) struct Visitor {
    /// Who.
    pub(crate) caller: Caller,
    /// What the forms of her pages carry.
    pub(crate) csrf: String,
    origin: Option<String>,
}

impl Visitor {
    /// Refuses a post that does not come from one of her own pages.
    pub(crate) async fn check_post(&self, app: &App, token: &str) -> Result<(), Response> {
        let origin = self.origin.as_deref();
        app.identity.check_post(&self.caller, Some(token), origin).await.map_err(|it| problem_page(&it))
    }
}

async fn visitor(app: &App, headers: &HeaderMap, network: Option<IpAddr>) -> Result<Visitor, Problem> {
    let token = cookie(headers, &app.identity.session_cookie_name())
        .ok_or_else(|| Problem::new(ProblemKind::Unauthenticated, "nobody is signed in"))?;
    let caller = app.identity.authenticate(token, network).await?;
    let csrf = app.identity.csrf_token(caller.session);
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).map(str::to_owned);
    Ok(Visitor { caller, csrf, origin })
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let Network(network) = network(parts, app).await?;
        visitor(app, &parts.headers, network).await.map_err(|problem| {
            if !problem.is(ProblemKind::Unauthenticated) {
                return problem_page(&problem);
            }
            let back = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let query: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
            Redirect::to(&format!("/sign-in?return_to={query}")).into_response()
        })
    }
}

impl OptionalFromRequestParts<Arc<App>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Response> {
        let Network(network) = network(parts, app).await?;
        Ok(visitor(app, &parts.headers, network).await.ok())
    }
}

async fn network(parts: &mut Parts, app: &Arc<App>) -> Result<Network, Response> {
    <Network as FromRequestParts<Arc<App>>>::from_request_parts(parts, app)
        .await
        .map_err(IntoResponse::into_response)
}

/// A page whose forms go nowhere but to ourselves.
pub(crate) fn page(template: &impl Template) -> Shown {
    page_for(template, "")
}

/// A page whose forms may also lead to `elsewhere`: sources of a Content-Security-Policy.
pub(crate) fn page_for(template: &impl Template, elsewhere: &str) -> Shown {
    let html =
        template.render().map_err(|_| problem_page(&Problem::internal("the page could not be written")))?;
    Ok((headers(elsewhere), Html(html)).into_response())
}

fn headers(elsewhere: &str) -> [(HeaderName, String); 6] {
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self' {elsewhere}; frame-ancestors 'none'; \
         base-uri 'none'"
    );
    [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::X_FRAME_OPTIONS, "DENY".to_owned()),
        // Not `no-referrer`: browsers would then hide the origin of our own forms from us.
        (header::REFERRER_POLICY, "same-origin".to_owned()),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin".to_owned()),
    ]
}

/// Adds the headers to a page that has none of its own.
pub(super) async fn guard(mut answer: Response) -> Response {
    for (name, value) in headers("") {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().entry(name).or_insert(value);
        }
    }
    answer
}

/// Shows what the framework refuses by itself, such as a form that lacks a field, as a page.
pub(super) async fn refusal(answer: Response) -> Response {
    problem_in(answer).await.unwrap_or_else(|problem| problem_page(&problem))
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    title: &'a str,
    detail: &'a str,
    remedy: Option<&'a str>,
}

/// A problem as a page.
pub(crate) fn problem_page(problem: &Problem) -> Response {
    let template = ProblemPage {
        title: problem.kind.title(),
        detail: &problem.detail,
        remedy: problem.remedy.as_deref(),
    };
    let status = StatusCode::from_u16(problem.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = match template.render() {
        Ok(html) => (status, headers(""), Html(html)).into_response(),
        Err(_) => status.into_response(),
    };
    if let Some(wish) = StepUp::of(problem) {
        answer.extensions_mut().insert(wish);
    }
    answer
}

/// What a sign-in has to be like that would do where a decision said no.
#[derive(Clone)]
struct StepUp {
    max_age: Option<Duration>,
    acr_values: Vec<String>,
}

impl StepUp {
    /// A decision names its reason; a provider that did not give what was asked for is not asked again.
    fn of(problem: &Problem) -> Option<Self> {
        let decided =
            problem.is(ProblemKind::InsufficientAuthentication) && problem.more.contains_key("reason");
        let classes = problem.more.get("acr_values").and_then(serde_json::Value::as_str).unwrap_or_default();
        decided.then(|| Self {
            max_age: problem.more.get("max_age").and_then(serde_json::Value::as_u64).map(Duration::from_secs),
            acr_values: classes.split_whitespace().map(str::to_owned).collect(),
        })
    }
}

/// Leads through a new sign-in and back, where a page is refused for the sign-in of before (RFC 9470).
pub(super) async fn step_up(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let return_to = match (request.method(), request.uri().path_and_query()) {
        (&Method::GET, Some(whole)) => whole.as_str().to_owned(),
        _ => path,
    };
    let mut answer = next.run(request).await;
    match answer.extensions_mut().remove::<StepUp>() {
        Some(StepUp { max_age, acr_values }) => {
            let wish = SignInWish { return_to, max_age, acr_values };
            Redirect::to(&sign_in_address(&app, &wish)).into_response()
        }
        None => answer,
    }
}
