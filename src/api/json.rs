//! Bodies.

use axum::{
    extract::{FromRequest, Request, rejection::JsonRejection},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

use super::limits::TooSlow;
use crate::base::{Problem, ProblemKind, Result};

/// A JSON body. One that is malformed, too long or of another type is refused with a problem that says
/// where, and nothing of what stood there: it may have been a value.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refusal(&rejection)),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn refusal(rejection: &JsonRejection) -> Problem {
    match rejection {
        JsonRejection::JsonDataError(error) => misfit(error),
        JsonRejection::JsonSyntaxError(error) => {
            Problem::invalid(format!("the body is no JSON{}", place(error)))
        }
        JsonRejection::MissingJsonContentType(_) => {
            Problem::new(ProblemKind::UnsupportedMediaType, "the body has to be JSON")
                .remedy("Send `Content-Type: application/json`.")
        }
        rejection if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(ProblemKind::TooLarge, "the body is longer than what is taken here")
        }
        rejection if TooSlow::is_cause_of(rejection) => TooSlow::problem(),
        _ => Problem::invalid("the body could not be read"),
    }
}

/// What serde says: `PATH: what is wrong at line 1 column 2`. It may hold a piece of the body.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

fn place(error: &(dyn std::error::Error + 'static)) -> String {
    let said = said(error);
    let place = said.rsplit_once(" at line ").and_then(|(_, place)| {
        let (line, column) = place.split_once(" column ")?;
        Some((line.parse::<usize>().ok()?, column.parse::<usize>().ok()?))
    });
    place.map_or_else(String::new, |(line, column)| format!(" at line {line} column {column}"))
}

/// Which field is wrong or missing may be said; what it held may not.
fn misfit(error: &(dyn std::error::Error + 'static)) -> Problem {
    let said = said(error);
    let field = ["unknown field", "missing field", "duplicate field"].iter().find_map(|fault| {
        let (path, rest) = said.split_once(&format!("{fault} `"))?;
        let (name, _) = rest.split_once('`')?;
        let is_name =
            |text: &str| text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        // Before it stands a path and nothing else: a value could read like a fault of serde's.
        let is_path = path.strip_suffix(": ").is_none_or(|path| path.split(['.', '[', ']']).all(is_name));
        let is_first = path.is_empty() || path.ends_with(": ");
        (is_first && is_path && !name.is_empty() && is_name(name)).then(|| format!("{fault} '{name}'"))
    });
    let what = field.unwrap_or_else(|| "a field has the wrong type".to_owned());
    Problem::invalid(format!("the body does not fit: {what}{}", place(error)))
        .remedy("/api/v1/openapi.json describes it.")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct Body_ {
        number: u8,
    }

    async fn refused(content_type: &str, text: &'static str) -> Problem {
        let request = Request::builder().header("content-type", content_type).body(Body::from(text)).unwrap();
        Json::<Body_>::from_request(request, &()).await.map(|it| it.0).unwrap_err()
    }

    #[tokio::test]
    async fn a_refusal_says_where_and_never_what() {
        for (text, says) in [
            ("{\"number\": \"hunter2\"}", "a field has the wrong type"),
            ("{\"number\": \": unknown field `hunter2`\"}", "a field has the wrong type"),
            ("{\"number\": 1, \"hunter2-value\": 2}", "a field has the wrong type"),
            ("{\"number\": 1, \"extra\": 2}", "unknown field 'extra'"),
            ("{}", "missing field 'number'"),
            ("{hunter2", "no JSON at line 1"),
        ] {
            let problem = refused("application/json", text).await;
            assert!(problem.is(ProblemKind::InvalidRequest), "{problem}");
            assert!(problem.detail.contains(says), "{text}: {problem}");
            assert!(!problem.to_string().contains("hunter2"), "{problem}");
        }
        assert!(refused("text/plain", "{}").await.is(ProblemKind::UnsupportedMediaType));
    }
}
