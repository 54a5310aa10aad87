//! What the framework refuses by itself, such as an address that does not fit, as a problem like any other.

use axum::{
    body::to_bytes,
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::base::{Problem, ProblemKind};

/// As much of what the framework says as is passed on, in bytes.
const LONGEST: usize = 1024;

/// Answers with a problem where the framework had a line of text.
pub(super) async fn as_problem(request: Request, next: Next) -> Response {
    problem_in(next.run(request).await).await.unwrap_or_else(IntoResponse::into_response)
}

/// The answer, or the problem that its line of text comes to.
///
/// # Errors
/// The problem.
pub(crate) async fn problem_in(answer: Response) -> Result<Response, Problem> {
    let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec());
    let is_told = kind.is_some_and(|kind| !kind.starts_with(b"text/plain"));
    let Some(kind) = kind_of(answer.status()).filter(|_| !is_told) else { return Ok(answer) };
    let said = to_bytes(answer.into_body(), LONGEST).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let said = if said.is_empty() { kind.title().into() } else { said };
    Err(Problem::new(kind, said.escape_debug().to_string()).remedy("/api/v1/openapi.json describes it."))
}

fn kind_of(status: StatusCode) -> Option<ProblemKind> {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Some(ProblemKind::InvalidRequest),
        StatusCode::NOT_FOUND => Some(ProblemKind::NotFound),
        StatusCode::PAYLOAD_TOO_LARGE => Some(ProblemKind::TooLarge),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(ProblemKind::UnsupportedMediaType),
        StatusCode::INTERNAL_SERVER_ERROR => Some(ProblemKind::Internal),
        _ => None,
    }
}
