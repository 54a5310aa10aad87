//! Answers and errors as SCIM has them.

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    api::{Json, refusal::problem_in},
    base::{Problem, ProblemKind, Result},
    identity::scim::{Answer, Said},
};

/// The type of all bodies (RFC 7644, section 3.1).
const SCIM_JSON: &str = "application/scim+json";
/// Longest problem that is read again.
const LONGEST_PROBLEM: usize = 64 * 1024;

/// A body of SCIM.
pub(super) struct ScimJson(pub(super) Value);

impl IntoResponse for ScimJson {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON))];
        (headers, self.0.to_string()).into_response()
    }
}

/// An object that somebody sends, as JSON or as SCIM's.
pub(super) struct Body(pub(super) Said);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let is_scim = kind.is_none_or(|kind| kind.to_ascii_lowercase().starts_with(SCIM_JSON));
        if is_scim {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        let Json(body) = Json::<Value>::from_request(request, state).await.map_err(|problem| {
            let is_syntax = problem.is(ProblemKind::InvalidRequest);
            if is_syntax { problem.with("scimType", "invalidSyntax") } else { problem }
        })?;
        match body {
            Value::Object(said) => Ok(Self(said)),
            _ => Err(Problem::invalid("the body is no object").with("scimType", "invalidSyntax")),
        }
    }
}

/// A resource, with its version and where it is.
pub(super) fn resource(status: StatusCode, answer: Answer) -> Response {
    let mut response = match answer.body {
        Some(body) => (status, ScimJson(body)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    };
    set(&mut response, header::ETAG, &answer.etag);
    if status == StatusCode::CREATED {
        set(&mut response, header::LOCATION, &answer.location);
    }
    response
}

/// The same for whoever may have it already.
pub(super) fn unless_known(headers: &HeaderMap, answer: Answer) -> Response {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let sent = text(headers, &header::IF_NONE_MATCH);
    let is_known = sent.is_some_and(|sent| sent.split(',').any(|one| plain(one) == plain(&answer.etag)));
    if is_known {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        set(&mut response, header::ETAG, &answer.etag);
        return response;
    }
    resource(StatusCode::OK, answer)
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A header as text.
pub(super) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Says what went wrong as SCIM has it (RFC 7644, section 3.12), in place of a problem document.
pub(super) async fn errors(request: Request, next: Next) -> Response {
    let response = match problem_in(next.run(request).await).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    if response.extensions().get::<ProblemKind>().is_none() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let said = to_bytes(body, LONGEST_PROBLEM).await.unwrap_or_default();
    let said: Value = serde_json::from_slice(&said).unwrap_or_default();
    let mut error = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": parts.status.as_u16().to_string(),
        "detail": detail(&said),
    });
    if let Some(kind) = said.get("scimType") {
        error["scimType"] = kind.clone();
    }
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, error.to_string().into())
}

/// What happened, and what to do next.
fn detail(said: &Value) -> String {
    let text = |name: &str| said.get(name).and_then(Value::as_str);
    match (text("detail").unwrap_or("it was refused"), text("remedy")) {
        (detail, Some(remedy)) => format!("{detail}. {remedy}"),
        (detail, None) => detail.to_owned(),
    }
}
