//! `POST /api/v1/token`: OAuth 2.0 Token Exchange (RFC 8693), for workloads. Form in, JSON out; errors have the
//! form of RFC 6749, section 5.2, because that is what OAuth clients read.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use crate::{
    api::{App, Json, Network},
    base::{Name, Problem, ProblemKind, Result, SecretValue},
    identity::{Exchange, IssuedToken, Known},
};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What a workload's own token may be called.
const SUBJECT_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];

/// What is brought. Other parameters are passed over, as OAuth wants.
#[derive(Deserialize, ToSchema)]
pub struct TokenRequest {
    /// `urn:ietf:params:oauth:grant-type:token-exchange`
    #[serde(default)]
    grant_type: String,
    /// The token of the workload's own issuer.
    #[serde(default)]
    #[schema(value_type = String)]
    subject_token: Zeroizing<String>,
    /// `urn:ietf:params:oauth:token-type:jwt` or `…:id_token`
    #[serde(default)]
    subject_token_type: String,
    /// `urn:ietf:params:oauth:token-type:access_token`, where anything is said.
    #[serde(default)]
    requested_token_type: Option<String>,
    /// The one trust scope that the new token is to be good for.
    #[serde(default)]
    scope: Option<String>,
    /// Which workload it is, where what the token says fits more than one.
    #[serde(default)]
    workload: Option<String>,
    /// Nobody acts for somebody else here.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    actor_token: Option<Zeroizing<String>>,
}

impl TokenRequest {
    fn read(self, network: Option<IpAddr>) -> Result<Exchange, OAuthProblem> {
        if self.grant_type != GRANT_TYPE {
            return Err(OAuthProblem::of(
                "unsupported_grant_type",
                format!("grant_type has to be {GRANT_TYPE}"),
            ));
        }
        let invalid = |what: String| OAuthProblem::of("invalid_request", what);
        if self.subject_token.is_empty() || !SUBJECT_TYPES.contains(&self.subject_token_type.as_str()) {
            let types = SUBJECT_TYPES.join(" or ");
            return Err(invalid(format!("subject_token is wanted, and subject_token_type {types}")));
        }
        if self.requested_token_type.is_some_and(|it| it != ACCESS_TOKEN) || self.actor_token.is_some() {
            return Err(invalid(format!(
                "only {ACCESS_TOKEN} is issued here, and to nobody but the subject"
            )));
        }
        let name =
            |text: Option<String>| text.filter(|it| !it.is_empty()).map(|it| it.parse::<Name>()).transpose();
        Ok(Exchange {
            token: SecretValue::new(self.subject_token.as_bytes().to_vec()),
            workload: name(self.workload).map_err(|_| invalid("workload is no name".to_owned()))?,
            scope: name(self.scope)
                .map_err(|_| OAuthProblem::of("invalid_scope", "scope is the name of one trust scope"))?,
            network,
        })
    }
}

/// What is given for it.
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// To be sent as `Authorization: Bearer …`; shown this once.
    #[schema(value_type = String)]
    #[serde(serialize_with = "plain")]
    access_token: Zeroizing<String>,
    /// `urn:ietf:params:oauth:token-type:access_token`
    issued_token_type: &'static str,
    /// `Bearer`
    token_type: &'static str,
    /// In seconds.
    expires_in: u64,
    /// The one trust scope that it is good for; all of the workload's where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// Whose it is.
    workload: String,
}

fn plain<S: serde::Serializer>(text: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl From<IssuedToken> for TokenAnswer {
    fn from(issued: IssuedToken) -> Self {
        Self {
            access_token: Zeroizing::new(issued.token.expose_text().unwrap_or_default().to_owned()),
            issued_token_type: ACCESS_TOKEN,
            token_type: "Bearer",
            expires_in: issued.life.as_secs(),
            scope: issued.scope.map(|it| it.to_string()),
            workload: issued.workload.to_string(),
        }
    }
}

/// A refusal in the form of RFC 6749, section 5.2.
#[derive(Debug, Serialize, ToSchema)]
pub struct OAuthProblem {
    /// `invalid_request`, `invalid_grant`, `invalid_scope`, `unsupported_grant_type`,
    /// `temporarily_unavailable` or `server_error`
    error: &'static str,
    /// What happened, and what to do next.
    error_description: String,
    #[serde(skip)]
    kind: Option<ProblemKind>,
}

impl OAuthProblem {
    fn of(error: &'static str, description: impl AsRef<str>) -> Self {
        Self { error, error_description: description.as_ref().chars().map(allowed).collect(), kind: None }
    }
}

/// The characters that the standard allows in a description.
fn allowed(c: char) -> char {
    match c {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => c,
        _ => '?',
    }
}

impl From<Problem> for OAuthProblem {
    fn from(problem: Problem) -> Self {
        use ProblemKind as Kind;
        let error = match problem.kind {
            Kind::InvalidRequest | Kind::Ambiguous | Kind::TooLarge => "invalid_request",
            Kind::SignInRefused | Kind::Conflict => "invalid_grant",
            Kind::Denied => "invalid_scope",
            Kind::Internal => "server_error",
            _ => "temporarily_unavailable",
        };
        let description = match &problem.remedy {
            Some(remedy) => format!("{}. {remedy}", problem.detail),
            None => problem.detail.clone(),
        };
        Self { kind: Some(problem.kind), ..Self::of(error, description) }
    }
}

impl IntoResponse for OAuthProblem {
    fn into_response(self) -> Response {
        // What the log or an issuer could not do is no fault of the request; all else is 400 by the standard.
        let status = self.kind.map_or(400, ProblemKind::status);
        let status = if status == 429 || status >= 500 { status } else { 400 };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut answer = (status, [(header::CACHE_CONTROL, "no-store")], Json(&self)).into_response();
        if let Some(kind) = self.kind {
            answer.extensions_mut().insert(kind);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        answer
    }
}

/// Exchange a workload's own token for a short one of ours.
///
/// The token has to be issued by one of the workload issuers of the server's configuration, for this
/// server, and to say what files pin of the workload. What is given for it ends within a quarter of an
/// hour, and with the token that was brought.
#[utoipa::path(
    post,
    path = "/token",
    tag = "identity",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token, which is shown this once.", body = TokenAnswer),
        (status = 400, description = "`invalid_request`, `invalid_grant`, `invalid_scope`, \
                                      `unsupported_grant_type`", body = OAuthProblem),
        (status = 429, description = "`temporarily_unavailable`: too many from your network", body = OAuthProblem),
        (status = 503, description = "`temporarily_unavailable`: the log or the issuer does not answer",
         body = OAuthProblem),
    ),
    security(())
)]
async fn exchange_token(
    State(app): State<Arc<App>>,
    Network(network): Network,
    body: Result<Form<TokenRequest>, FormRejection>,
) -> Result<Response, OAuthProblem> {
    let Form(body) = body.map_err(|_| {
        OAuthProblem::of(
            "invalid_request",
            "this takes a form (application/x-www-form-urlencoded), each parameter once",
        )
    })?;
    let wish = body.read(network)?;
    let declared = app.catalog.snapshot().await?;
    let known = Known { workloads: &declared.workloads, scopes: &declared.scopes };
    let answer = TokenAnswer::from(app.identity.exchange(wish, known).await?);
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
    Ok((headers, Json(answer)).into_response())
}

/// This endpoint.
pub fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(exchange_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_holds_only_what_the_standard_allows() {
        let problem = OAuthProblem::of("invalid_request", "say \"why\": a\\b\nä");
        assert_eq!(problem.error_description, "say 'why': a/b??");
    }

    #[test]
    fn what_is_not_the_requests_fault_is_no_400() {
        let status = |kind| OAuthProblem::from(Problem::new(kind, "x")).into_response().status().as_u16();
        assert_eq!(status(ProblemKind::SignInRefused), 400);
        assert_eq!(status(ProblemKind::Conflict), 400);
        assert_eq!(status(ProblemKind::Denied), 400);
        assert_eq!(status(ProblemKind::RateLimited), 429);
        assert_eq!(status(ProblemKind::NotRecorded), 503);
    }
}
