//! Problems on the wire (RFC 9457).

use std::fmt::Write as _;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::base::{Problem, ProblemKind};

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(
                problem = self.kind.slug(),
                detail = self.detail,
                "a request could not be answered"
            );
        }
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut answer = (status, body).into_response();
        answer.extensions_mut().insert(self.kind);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.kind {
            ProblemKind::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            ProblemKind::InsufficientAuthentication => {
                headers.insert(header::WWW_AUTHENTICATE, challenge(&self));
            }
            // Seconds (RFC 9110, section 10.2.3).
            ProblemKind::Overloaded => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            ProblemKind::RateLimited => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            _ => {}
        }
        answer
    }
}

/// What a sign-in has to be like that would do (RFC 9470, section 3).
fn challenge(problem: &Problem) -> HeaderValue {
    let mut text = "Bearer error=\"insufficient_user_authentication\"".to_owned();
    if let Some(classes) = problem.more.get("acr_values").and_then(serde_json::Value::as_str) {
        let _ = write!(text, ", acr_values=\"{}\"", classes.replace(['"', '\\'], ""));
    }
    if let Some(seconds) = problem.more.get("max_age").and_then(serde_json::Value::as_u64) {
        let _ = write!(text, ", max_age=\"{seconds}\"");
    }
    // A class that cannot stand in a header stands in the document alone.
    HeaderValue::from_str(&text)
        .unwrap_or(HeaderValue::from_static("Bearer error=\"insufficient_user_authentication\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_says_what_would_do() {
        let problem = |classes: &str| {
            Problem::new(ProblemKind::InsufficientAuthentication, "too weak")
                .with("acr_values", classes)
                .with("max_age", 600)
        };
        assert_eq!(
            challenge(&problem("mfa phr")),
            "Bearer error=\"insufficient_user_authentication\", acr_values=\"mfa phr\", max_age=\"600\""
        );
        let bare = "Bearer error=\"insufficient_user_authentication\"";
        assert_eq!(challenge(&problem("a\nb")), bare);
        assert_eq!(challenge(&Problem::new(ProblemKind::InsufficientAuthentication, "old")), bare);
        assert!(!challenge(&problem("a\"b")).to_str().unwrap().contains("a\"b"));
    }
}
