//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): what is posted again under its key is
//! done once.
//!
//! What is done commits together with a claim on (caller, key), which holds a keyed digest of the request.
//! So whoever finds the claim knows that it was done, whatever became of the first answer; whoever finds
//! none can do it. The answer is kept beside the claim, sealed, for a day. What fails leaves no claim: the
//! key is as good as before.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{DefaultBodyLimit, FromRequest as _, FromRequestParts as _, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{AnyAuth, App, catalog, limits::TooSlow, public, router::LONGEST_BODY};
use crate::{
    audit::Claim,
    base::{Problem, ProblemKind, Result, Timestamp},
    identity::{AnyCaller, WorkloadCaller},
    store::sql,
};

const HEADER: &str = "idempotency-key";
/// Says that an answer is not the first.
const REPLAYED: &str = "idempotency-replayed";
const PURPOSE: &str = "api.idempotency";
/// Longest key, in bytes.
const LONGEST_KEY: usize = 255;
/// Longest answer that is kept.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// How long a key is remembered.
const LIFE: Duration = Duration::from_hours(24);
/// After which time nobody can be answering any more, on whichever replica.
const LONGEST_ATTEMPT: Duration = Duration::from_mins(1);
/// How often what is too old is removed.
const SWEPT_EVERY: Duration = Duration::from_mins(10);
/// Answers that hold values are never kept, so each asking is one: the header is passed over. Asking
/// twice changes nothing but that it is recorded twice.
const NEVER_KEPT: &[&str] = &[
    "/api/v1/applications/{application}/environments/{environment}/run",
    "/api/v1/scim-connections",
    "/api/v1/scim-connections/{connection}/rotate",
];

/// Answers that hold values are never kept, and asking twice would make twice: that it was done is remembered,
/// and what was told is not.
const TOLD_ONCE: &[&str] = &["/api/v1/leases"];

/// Whether the header counts there. Public routes have nobody whose key it could be.
pub(super) fn applies(method: &str, path: &str) -> bool {
    method.eq_ignore_ascii_case("POST")
        && path.starts_with("/api/v1/")
        && !NEVER_KEPT.contains(&path)
        && !public::ROUTES.contains(&("POST", path))
}

/// The header, as the OpenAPI document describes it.
pub(super) fn parameter() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "Of your own choice, unguessable: what is sent again under it within 24 h is done \
                        once, and answered as the first time.",
        "schema": { "type": "string", "minLength": 1, "maxLength": LONGEST_KEY },
    })
}

/// Remembers what was done under which key.
pub(super) struct Keeper {
    app: Arc<App>,
    /// Tells attempts of this process from those of other replicas.
    instance: String,
    /// The attempts that this process is at.
    live: Mutex<HashSet<String>>,
    swept: Mutex<Timestamp>,
}

/// An attempt, as long as this process is at it.
struct Attempt<'k> {
    keeper: &'k Keeper,
    id: String,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.keeper.live().remove(&self.id);
    }
}

#[derive(sqlx::FromRow)]
struct Claimed {
    digest: Vec<u8>,
    attempt: String,
    status: Option<i64>,
    body: Option<Vec<u8>>,
    created_at: i64,
}

/// Answers a request under its key, where it has one.
pub(super) async fn once(State(keeper): State<Arc<Keeper>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if !applies(request.method().as_str(), path) {
        return next.run(request).await;
    }
    match key(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => keeper.answer(key, request, next).await.unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

/// The one key that was sent: a quoted string (RFC 8941), or what would stand in the quotes.
fn key(headers: &HeaderMap) -> Result<Option<String>> {
    let mut all = headers.get_all(HEADER).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if all.next().is_some() || text.is_empty() || text.len() > LONGEST_KEY || !is_plain {
        return Err(Problem::invalid(format!(
            "the Idempotency-Key is not one key of 1 to {LONGEST_KEY} printable ASCII characters"
        ))
        .remedy("Send for example a random UUID."));
    }
    Ok(Some(text.to_owned()))
}

impl Keeper {
    pub(super) fn new(app: Arc<App>) -> Arc<Self> {
        let (instance, swept) = (app.ambient.uuid().to_string(), app.ambient.now());
        Arc::new(Self { app, instance, live: Mutex::default(), swept: Mutex::new(swept) })
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Attempt<'_> {
        let id = format!("{}/{}", self.instance, self.app.ambient.uuid());
        self.live().insert(id.clone());
        Attempt { keeper: self, id }
    }

    async fn answer(&self, key: String, request: Request, next: Next) -> Result<Response> {
        let (mut parts, body) = request.into_parts();
        let AnyAuth(caller) = AnyAuth::from_request_parts(&mut parts, &self.app).await?;
        let caller = whose(&caller);
        let body = read(body, longest_body(&parts)).await?;
        let digest = self.digest(&parts, &body);
        let is_told_once = TOLD_ONCE.contains(&parts.uri.path());
        if let Some(found) = self.find(&caller, &key).await? {
            return match self.again(&caller, &key, digest, &found) {
                Err(problem) if is_told_once => Err(told_once(problem)),
                answer => answer,
            };
        }
        let attempt = self.begin();
        let claim = Claim::new(caller.clone(), key.clone(), digest, attempt.id.clone());
        let request = Request::from_parts(parts, Body::from(body));
        let answer = claim.clone().over(next.run(request)).await;
        if !claim.may_be_made() {
            return Ok(answer);
        }
        if is_told_once && answer.status().is_success() {
            return Ok(answer);
        }
        self.settle(&caller, &key, &attempt, answer).await
    }

    /// Keyed: bodies hold values, and nobody may try out what they were.
    fn digest(&self, parts: &Parts, body: &[u8]) -> [u8; 32] {
        let address = parts.uri.path_and_query().map_or("", |it| it.as_str());
        self.app.keys.mac(PURPOSE, &[parts.method.as_str().as_bytes(), address.as_bytes(), body])
    }

    async fn find(&self, principal: &str, key: &str) -> Result<Option<Claimed>> {
        let query = sql("SELECT digest, attempt, status, body, created_at FROM idempotency \
                         WHERE principal = $1 AND token = $2");
        let found: Option<Claimed> =
            self.app.database.fetch_optional(query.bind(principal).bind(key)).await?;
        let oldest = self.app.ambient.now().before(LIFE);
        match found {
            Some(old) if Timestamp::from_millis(old.created_at) <= oldest => {
                self.sweep(oldest).await?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    /// What is answered where somebody was first.
    fn again(&self, principal: &str, key: &str, digest: [u8; 32], found: &Claimed) -> Result<Response> {
        if found.digest != digest {
            return Err(Problem::new(
                ProblemKind::IdempotencyMismatch,
                "nothing happened: this Idempotency-Key was used for another request",
            )
            .remedy("Send another request under another key."));
        }
        match (found.status, &found.body) {
            (Some(status), Some(body)) => self.replay(principal, key, status, body),
            _ => Err(self.unanswered(found)),
        }
    }

    fn replay(&self, principal: &str, key: &str, status: i64, body: &[u8]) -> Result<Response> {
        let body = self.app.keys.unseal(PURPOSE, &name(principal, key), body)?.to_vec();
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or_else(|| Problem::internal("a kept answer cannot be read"))?;
        let mut answer = (status, [(REPLAYED, "true")], body).into_response();
        if status == StatusCode::NO_CONTENT {
            answer.headers_mut().remove(header::CONTENT_TYPE);
        } else {
            let json = HeaderValue::from_static("application/json");
            answer.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        Ok(answer)
    }

    /// It was done, or is about to be, and its answer is not here.
    fn unanswered(&self, found: &Claimed) -> Problem {
        let since = Timestamp::from_millis(found.created_at);
        let is_own = found.attempt.starts_with(&self.instance);
        let is_at_it = if is_own {
            self.live().contains(&found.attempt)
        } else {
            self.app.ambient.now().since(since) < LONGEST_ATTEMPT
        };
        if is_at_it {
            return Problem::conflict("a request with this Idempotency-Key is being answered")
                .remedy("Repeat it in a moment: it is answered as the first one was.");
        }
        Problem::conflict(format!(
            "this was recorded already, at {since}, under this Idempotency-Key; its answer was lost on the way"
        ))
        .remedy("Look at what is there now, before you do it again under another key.")
        .with("recorded_at", since.to_string())
    }

    /// Keeps a success; gives the key back where it is certain that nothing happened.
    async fn settle(
        &self,
        principal: &str,
        key: &str,
        attempt: &Attempt<'_>,
        answer: Response,
    ) -> Result<Response> {
        let outcome = match answer.extensions().get::<ProblemKind>() {
            None if answer.status().is_success() => return self.keep(principal, key, attempt, answer).await,
            None | Some(ProblemKind::OutcomeUnknown | ProblemKind::Internal) => Ok(0),
            Some(_) => self.give_back(principal, key, attempt).await,
        };
        if let Err(problem) = outcome {
            tracing::warn!(%problem, "an Idempotency-Key could not be given back");
        }
        Ok(answer)
    }

    async fn keep(
        &self,
        principal: &str,
        key: &str,
        attempt: &Attempt<'_>,
        answer: Response,
    ) -> Result<Response> {
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, LONGEST_ANSWER)
            .await
            .map_err(|_| Problem::internal("an answer is longer than what is kept"))?;
        let sealed = self.app.keys.seal(PURPOSE, &name(principal, key), &body);
        let query = sql("UPDATE idempotency SET status = $4, body = $5 \
                         WHERE principal = $1 AND token = $2 AND attempt = $3");
        let query = query.bind(principal).bind(key).bind(&attempt.id);
        let query = query.bind(i64::from(parts.status.as_u16())).bind(sealed);
        if let Err(error) = self.app.database.write_unrecorded("idempotency", query).await {
            // It was done, and whoever asks again is told so.
            tracing::warn!(%error, "an answer could not be kept");
        }
        self.sweep_sometimes().await;
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    async fn give_back(&self, principal: &str, key: &str, attempt: &Attempt<'_>) -> Result<u64> {
        let query = sql("DELETE FROM idempotency WHERE principal = $1 AND token = $2 AND attempt = $3");
        let query = query.bind(principal).bind(key).bind(&attempt.id);
        Ok(self.app.database.write_unrecorded("idempotency", query).await?)
    }

    async fn sweep_sometimes(&self) {
        let now = self.app.ambient.now();
        let is_time = {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            let is_time = now.since(*swept) >= SWEPT_EVERY;
            if is_time {
                *swept = now;
            }
            is_time
        };
        if is_time && let Err(problem) = self.sweep(now.before(LIFE)).await {
            tracing::warn!(%problem, "old Idempotency-Keys could not be removed");
        }
    }

    async fn sweep(&self, oldest: Timestamp) -> Result<()> {
        let query = sql("DELETE FROM idempotency WHERE created_at <= $1").bind(oldest);
        self.app.database.write_unrecorded("idempotency", query).await?;
        Ok(())
    }
}

/// Whose key it is: the principal's. One that is narrowed to a trust scope is told nothing of what another of it
/// was answered; a job that has its own token exchanged anew, for the same, keeps its keys.
fn whose(caller: &AnyCaller) -> String {
    match caller {
        AnyCaller::Workload(WorkloadCaller { only: Some(scope), .. }) => format!("{caller} in {scope}"),
        _ => caller.to_string(),
    }
}

/// What helps whoever asks again for what is told once: another one.
fn told_once(problem: Problem) -> Problem {
    if !problem.is(ProblemKind::Conflict) {
        return problem;
    }
    problem.remedy(
        "Credentials are told once. `portctl lease list` shows what was issued: give it back \
         (`portctl lease revoke LEASE`), and ask again under another key.",
    )
}

/// What a kept answer is sealed for.
fn name(principal: &str, key: &str) -> Vec<u8> {
    format!("{principal}/{key}").into_bytes()
}

fn longest_body(parts: &Parts) -> usize {
    let is_long = ["/api/v1/plan", "/api/v1/apply"].contains(&parts.uri.path());
    if is_long && parts.method == Method::POST { catalog::LONGEST_BODY } else { LONGEST_BODY }
}

async fn read(body: Body, longest: usize) -> Result<Bytes> {
    let mut request = Request::new(body);
    DefaultBodyLimit::max(longest).apply(&mut request);
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        if TooSlow::is_cause_of(&rejection) {
            TooSlow::problem()
        } else if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::new(ProblemKind::TooLarge, "the body is longer than what is taken here")
        } else {
            Problem::invalid("the body could not be read")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(values: &[&str]) -> Result<Option<String>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        key(&headers)
    }

    #[test]
    fn a_key_is_one_header_of_printable_characters_quoted_or_not() {
        assert_eq!(sent(&[]).unwrap(), None);
        assert_eq!(sent(&["8e03978e"]).unwrap().as_deref(), Some("8e03978e"));
        assert_eq!(sent(&["\"8e03978e\""]).unwrap().as_deref(), Some("8e03978e"));
        for bad in ["", "\"\"", "a b", "a\"b", "ä", &"a".repeat(256)] {
            assert!(sent(&[bad]).is_err(), "{bad}");
        }
        assert!(sent(&["a", "a"]).is_err());
    }

    #[test]
    fn keys_count_where_somebody_changes_something_and_no_value_is_answered() {
        assert!(applies("POST", "/api/v1/requests") && applies("post", "/api/v1/apply"));
        assert!(!applies("GET", "/api/v1/requests") && !applies("POST", NEVER_KEPT[0]));
        assert!(!applies("POST", "/api/v1/logins") && !applies("POST", "/api/v1/recovery"));
        assert!(!applies("POST", "/sign-out"));
    }
}
