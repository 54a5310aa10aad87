//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): a provider says that somebody is signed
//! out there, and whatever came from that sign-in ends here.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{
    jws::{Signed, signed},
    provider::Provider,
    verify::{Disbelief, FRESH, SKEW},
};
use crate::{
    audit::{Authority, Unit, Work},
    base::{Problem, ProblemKind, Result, Timestamp, config::ProviderConfig},
    identity::{Identity, caller::stored_id, sessions::end_one, token::hash_of},
    policy::{Action, Permit, Resource, Service},
    store::{Query, StoreError, sql},
};

/// The event that makes a token one of logout (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long it is remembered that a token was taken: longer than any can be fresh.
const REMEMBERED: Duration = Duration::from_mins(15);
/// Longest `jti`, `sid` or `sub`.
const LONGEST: usize = 255;

/// What a logout token says, once it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggedOut {
    /// SHA-256 of its `jti`.
    jti: [u8; 32],
    what: What,
}

/// What is over.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// One session of the provider.
    Session(String),
    /// All of a subject's.
    Subject(String),
}

/// What holds for a logout token beside its signature (section 2.6).
pub(super) fn read(token: &Signed, config: &ProviderConfig, now: Timestamp) -> Result<LoggedOut, Disbelief> {
    let claims = &token.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let bounded =
        |name: &str| text(name).filter(|it| !it.is_empty() && it.len() <= LONGEST).map(str::to_owned);
    if token.typ.as_deref().is_some_and(|typ| !is_logout(typ)) {
        return Err(Disbelief::Wrong("it is a token of another sort"));
    }
    if text("iss") != Some(&config.issuer) {
        return Err(Disbelief::Wrong("it is from another issuer"));
    }
    if !is_for(claims, &config.client_id) {
        return Err(Disbelief::Wrong("it is for another audience"));
    }
    if !is_of_now(claims, now) {
        return Err(Disbelief::Wrong("it was issued at another time than now, or has expired"));
    }
    if claims.contains_key("nonce") {
        return Err(Disbelief::Wrong("it holds a nonce, as only ID tokens do"));
    }
    if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(Disbelief::Wrong("it tells of no logout"));
    }
    let jti = bounded("jti").ok_or(Disbelief::Wrong("it has no id of its own"))?;
    // A session's name is the provider's own, so it says more than a subject, which at some providers
    // differs from application to application.
    let what = bounded("sid").map(What::Session).or_else(|| bounded("sub").map(What::Subject));
    let what = what.ok_or(Disbelief::Wrong("it names neither a session nor a person"))?;
    Ok(LoggedOut { jti: hash_of(jti.as_bytes()), what })
}

/// Older providers say `JWT`, or nothing.
fn is_logout(typ: &str) -> bool {
    ["logout+jwt", "application/logout+jwt", "jwt"].iter().any(|it| it.eq_ignore_ascii_case(typ))
}

fn is_for(claims: &Map<String, Value>, client_id: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == client_id,
        Some(Value::Array(several)) => several.iter().any(|it| it.as_str() == Some(client_id)),
        _ => false,
    }
}

fn is_of_now(claims: &Map<String, Value>, now: Timestamp) -> bool {
    let time = |name: &str| {
        claims.get(name).and_then(Value::as_i64).map(|it| Timestamp::from_millis(it.saturating_mul(1000)))
    };
    let issued = time("iat").is_some_and(|at| at <= now.after(SKEW) && at >= now.before(FRESH + SKEW));
    issued && time("exp").is_none_or(|at| at > now.before(SKEW))
}

impl Provider {
    /// What a logout token says, where it is to be believed. An unknown key makes us look for new ones once.
    async fn believe_logout(&self, token: &str) -> Result<LoggedOut> {
        let metadata = self.metadata().await?;
        let mut outcome = signed(token, metadata.jwks());
        if matches!(outcome, Err(Disbelief::UnknownKey))
            && let Some(metadata) = self.metadata_with_new_keys().await?
        {
            outcome = signed(token, metadata.jwks());
        }
        let now = self.now();
        outcome.and_then(|token| read(&token, &self.config, now)).map_err(|why| {
            let what = match why {
                Disbelief::UnknownKey => "it is signed by a key that the provider does not publish",
                Disbelief::Wrong(what) | Disbelief::TooWeak(what) => what,
                Disbelief::OtherSignIn => "it belongs to another sign-in",
            };
            Problem::invalid(format!("the logout token is not believed: {what}"))
        })
    }
}

impl Identity {
    /// Ends every session that came from the sign-in which a provider says is over. How many they were.
    ///
    /// # Errors
    /// `not-found` for an unknown provider; `invalid-request` for a token that is not to be believed or
    /// was taken before; `rate-limited` for a network that sends many such.
    pub async fn logged_out_at_provider(
        &self,
        provider: &str,
        token: &str,
        network: Option<IpAddr>,
    ) -> Result<usize> {
        let provider = self.providers.get(provider)?;
        self.failures.look(network, self.ambient.now())?;
        let believed = provider.believe_logout(token).await;
        if matches!(&believed, Err(problem) if problem.is(ProblemKind::InvalidRequest)) {
            // A provider that signs out a whole company at once is not slowed; whoever guesses is.
            self.failures.count(network, self.ambient.now());
        }
        let said = believed?;
        let name = provider.config.name.to_string();
        let issuer = provider.config.issuer.clone();
        let permit = self.permits.permit(Service::SignIn, Action::SignOut, Resource::People)?;
        let unit = EndAll { permit, provider: name.clone(), issuer, said: said.clone() };
        match self.log.perform(unit).await {
            // Nobody came from it, or they have left: there is nothing to record but that it was taken.
            Err(problem) if problem.is(ProblemKind::NotFound) => {
                let once = taken(&name, &said, self.ambient.now());
                self.database.write_unrecorded("logout_tokens", once).await.map_err(|error| match error {
                    StoreError::Duplicate => again(),
                    other => other.into(),
                })?;
                Ok(0)
            }
            Err(problem) if problem.is(ProblemKind::AlreadyExists) => Err(again()),
            outcome => outcome,
        }
    }
}

fn again() -> Problem {
    Problem::invalid("the logout token is not believed: it was taken before")
}

fn taken(provider: &str, said: &LoggedOut, now: Timestamp) -> Query {
    sql("INSERT INTO logout_tokens (provider, jti_hash, expires_at) VALUES ($1, $2, $3)")
        .bind(provider)
        .bind(said.jti)
        .bind(now.after(REMEMBERED))
}

struct EndAll {
    permit: Permit,
    provider: String,
    issuer: String,
    said: LoggedOut,
}

#[derive(sqlx::FromRow)]
struct EndedRow {
    id: String,
    person: String,
}

#[async_trait]
impl Unit for EndAll {
    type Output = usize;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<usize> {
        let now = work.now();
        work.execute(taken(&self.provider, &self.said, now)).await?;
        let mut ended = 0;
        for row in self.meant(work).await? {
            let because = "logged-out-at-provider";
            ended += usize::from(end_one(work, stored_id(&row.id)?, stored_id(&row.person)?, because).await?);
        }
        if ended == 0 {
            return Err(Problem::not_found("no session came from that sign-in"));
        }
        Ok(ended)
    }
}

impl EndAll {
    /// Browsers' sessions and those that they let in: these say of the sign-in what the browsers' say.
    async fn meant(&self, work: &mut Work<'_>) -> Result<Vec<EndedRow>> {
        let (query, value) = match &self.said.what {
            What::Session(sid) => {
                ("SELECT id, person FROM sessions WHERE issuer = $1 AND sid = $2 AND ended_at IS NULL", sid)
            }
            What::Subject(sub) => (
                "SELECT id, person FROM sessions WHERE issuer = $1 AND subject = $2 AND ended_at IS NULL",
                sub,
            ),
        };
        work.fetch_all(sql(query).bind(&self.issuer).bind(value)).await
    }
}
