//! Signing in by an OpenID provider: authorization code flow with PKCE, `state`, `nonce` and the `iss`
//! response parameter, bound to the browser that began it.

mod again;
mod check;
mod claims;
mod http;
mod inside;
mod jws;
mod logout;
mod provider;
#[cfg(test)]
mod tests;
mod verify;

use std::{net::IpAddr, time::Duration};

use subtle::ConstantTimeEq as _;
use url::Url;

pub(super) use again::{AskedAbout, Said};
pub use check::ProviderFinding;
pub(crate) use http::is_loopback;
pub(in crate::identity) use http::{BoundedClient, NoAnswer};
pub(in crate::identity) use jws::{Signed, signed};
use provider::{Awaited, Provider};
pub(in crate::identity) use verify::{Disbelief, SKEW};

pub(super) use claims::is_entra;

use super::{
    Arrival, Assertion, Identity, NewSession,
    token::{challenge_of, hash_of, new_token},
};
use crate::{
    base::{
        Ambient, Name, Problem, ProblemKind, Result, SecretValue, Timestamp, config::ProviderConfig, hex,
        ids::SessionId,
    },
    store::sql,
};

/// How long a person may take to sign in at her provider.
const PENDING_LIFE: Duration = Duration::from_mins(10);
/// What the keys room knows the verifier of a pending sign-in and a session's ID token by.
const VERIFIER: &str = "identity.verifier";
const ID_TOKEN: &str = "identity.id-token";
const REFRESH_TOKEN: &str = "identity.refresh-token";

/// All identity providers of the configuration.
pub(super) struct Providers(Vec<Provider>);

impl Providers {
    pub(super) fn new(configs: Vec<ProviderConfig>, public_url: &Url, ambient: &Ambient) -> Result<Self> {
        let one = |config: ProviderConfig| {
            let redirect = public_url.join(&format!("sign-in/{}/callback", config.name)).map_err(|_| {
                Problem::new(ProblemKind::InvalidConfiguration, "public_url is no base for paths")
            })?;
            Provider::new(config, redirect, ambient.clone())
        };
        Ok(Self(configs.into_iter().map(one).collect::<Result<_>>()?))
    }

    fn get(&self, name: &str) -> Result<&Provider> {
        self.0.iter().find(|provider| provider.config.name.as_str() == name).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            Problem::not_found(format!("there is no identity provider '{}' here", shown.escape_debug()))
                .remedy("Begin at /sign-in.")
        })
    }
}

/// What a sign-in is for.
#[derive(Clone, Debug, Default)]
pub struct SignInWish {
    /// The path to come back to; anything but a path of ours becomes `/`.
    pub return_to: String,
    /// Step-up: the oldest sign-in at the provider that will do.
    pub max_age: Option<Duration>,
    /// Step-up: the authentication context classes of which one is needed.
    pub acr_values: Vec<String>,
}

/// A sign-in that has begun: where to send the browser, and the cookie that binds it.
#[derive(Debug)]
pub struct BegunSignIn {
    /// The provider's page.
    pub url: Url,
    /// Name of the cookie, without the prefix that https adds.
    pub cookie_name: String,
    /// Its value.
    pub cookie: SecretValue,
    /// How long it is good for.
    pub life: Duration,
}

/// What a browser brings back from the provider. Nothing of it is believed before it is checked.
#[derive(Clone, Default, serde::Deserialize)]
pub struct Callback {
    /// The one-time code.
    pub code: Option<String>,
    /// Which sign-in it is.
    pub state: Option<String>,
    /// Who says so (RFC 9207).
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// A sign-in that is done.
#[derive(Debug)]
pub struct SignedIn {
    /// The browser's session.
    pub session: NewSession,
    /// The path to go on to.
    pub return_to: String,
    /// The cookie that has done its work.
    pub cookie_name: String,
}

#[derive(sqlx::FromRow)]
struct PendingRow {
    provider: String,
    browser_hash: Vec<u8>,
    nonce: String,
    sealed_verifier: Vec<u8>,
    return_to: String,
    max_age: Option<i64>,
    acr_values: String,
    expires_at: i64,
}

#[derive(sqlx::FromRow)]
struct IdTokenRow {
    sealed_id_token: Option<Vec<u8>>,
    issuer: String,
}

/// What a browser posts to its provider to end its session there, too.
#[derive(Debug)]
pub struct ProviderSignOut {
    /// The provider's name.
    pub provider: Name,
    /// Where to.
    pub url: Url,
    /// Whom it is about: the ID token of the sign-in.
    pub id_token_hint: SecretValue,
}

impl Identity {
    /// The names of the identity providers, in the order of the configuration.
    pub fn providers(&self) -> impl Iterator<Item = &Name> {
        self.providers.0.iter().map(|provider| &provider.config.name)
    }

    /// Begins a sign-in at `provider`.
    ///
    /// # Errors
    /// `not-found` for an unknown provider; `rate-limited`; `identity-provider-unavailable` and
    /// `identity-provider-fault`.
    pub async fn begin_sign_in(
        &self,
        provider: &str,
        wish: SignInWish,
        network: Option<IpAddr>,
    ) -> Result<BegunSignIn> {
        let provider = self.providers.get(provider)?;
        self.limit.take(network, self.ambient.now())?;
        let state = new_token(&self.ambient, "");
        let verifier = new_token(&self.ambient, "");
        let cookie = new_token(&self.ambient, "");
        let nonce = text_of(&new_token(&self.ambient, ""));
        let state_hash = hash_of(state.expose());
        let awaited = Awaited { nonce: Some(&nonce), max_age: wish.max_age, acr_values: &wish.acr_values };
        let challenge = challenge_of(&text_of(&verifier));
        let url =
            provider.authorize_url(&text_of(&state), &challenge, &awaited, self.sessions.absolute).await?;
        let now = self.ambient.now();
        self.database
            .write_unrecorded(
                "pending_sign_ins",
                sql("INSERT INTO pending_sign_ins (state_hash, provider, browser_hash, nonce, sealed_verifier, \
                     return_to, max_age, acr_values, created_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
                .bind(state_hash)
                .bind(&provider.config.name)
                .bind(hash_of(cookie.expose()))
                .bind(&nonce)
                .bind(self.keys.seal(VERIFIER, &state_hash, verifier.expose()))
                .bind(local_path(&wish.return_to))
                .bind(wish.max_age.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX)))
                .bind(wish.acr_values.join(" "))
                .bind(now)
                .bind(now.after(PENDING_LIFE)),
            )
            .await?;
        Ok(BegunSignIn { url, cookie_name: cookie_name(&state_hash), cookie, life: PENDING_LIFE })
    }

    /// Finishes a sign-in with what the browser brought back. `cookie` reads a cookie of that browser.
    /// The pending sign-in is used up by the first callback of the right browser, whatever comes of it.
    ///
    /// # Errors
    /// `sign-in-refused` where the callback is not that of a sign-in which this browser began, or the
    /// provider said no; `identity-provider-fault` where its ID token is not to be believed;
    /// `insufficient-user-authentication` where a step-up did not give what was asked for;
    /// `person-suspended`, `person-deactivated`; `rate-limited` for a network whose sign-ins keep failing.
    pub async fn finish_sign_in(
        &self,
        provider: &str,
        callback: Callback,
        cookie: impl Fn(&str) -> Option<String> + Send,
        arrival: Arrival,
    ) -> Result<SignedIn> {
        let network = arrival.network;
        self.failures.look(network, self.ambient.now())?;
        let outcome = self.finish(provider, callback, cookie, arrival).await;
        if matches!(&outcome, Err(problem) if problem.is(ProblemKind::SignInRefused)) {
            self.failures.count(network, self.ambient.now());
        }
        outcome
    }

    async fn finish(
        &self,
        provider: &str,
        callback: Callback,
        cookie: impl Fn(&str) -> Option<String> + Send,
        arrival: Arrival,
    ) -> Result<SignedIn> {
        let provider = self.providers.get(provider)?;
        let state = callback.state.as_deref().ok_or_else(|| refused("the answer names no sign-in"))?;
        let state_hash = hash_of(state.as_bytes());
        let cookie_name = cookie_name(&state_hash);
        let brought = cookie(&cookie_name);
        let pending = self.take_pending(&state_hash, provider, brought.as_deref()).await?;
        provider.check_issuer(callback.iss.as_deref()).await?;
        let code = match (&callback.error, &callback.code) {
            (Some(error), _) => return Err(provider_said_no(&provider.config.name, error)),
            (None, Some(code)) if !code.is_empty() => code,
            _ => return Err(refused("the answer holds no code")),
        };
        let verifier = self.keys.unseal(VERIFIER, &state_hash, &pending.sealed_verifier)?;
        let verifier = std::str::from_utf8(&verifier).map_err(|_| refused("the sign-in cannot be read"))?;
        let tokens = provider.exchange(code, verifier).await?;
        let acr_values: Vec<String> = pending.acr_values.split_whitespace().map(str::to_owned).collect();
        let max_age = pending.max_age.map(|age| Duration::from_secs(u64::try_from(age).unwrap_or(0)));
        let awaited = Awaited { nonce: Some(&pending.nonce), max_age, acr_values: &acr_values };
        let claims = provider.believe(&tokens, &awaited).await?;
        provider.check_class(&claims)?;
        let assertion = self.assertion(provider, &claims, &tokens.id_token.to_string())?;
        let refresh = tokens.refresh_token.filter(|_| provider.config.revalidate);
        let sealed =
            refresh.map(|token| self.seal_refresh_token(&assertion.issuer, &assertion.subject, &token));
        let session = self.take_in_with(assertion, arrival, sealed).await?;
        Ok(SignedIn { session, return_to: pending.return_to, cookie_name })
    }

    /// Takes the pending sign-in out, for the browser that began it and only once.
    async fn take_pending(
        &self,
        state_hash: &[u8; 32],
        provider: &Provider,
        cookie: Option<&str>,
    ) -> Result<PendingRow> {
        let row: Option<PendingRow> = self
            .database
            .fetch_optional(
                sql(
                    "SELECT provider, browser_hash, nonce, sealed_verifier, return_to, max_age, acr_values, \
                     expires_at FROM pending_sign_ins WHERE state_hash = $1",
                )
                .bind(state_hash),
            )
            .await?;
        let now = self.ambient.now();
        let row = row
            .filter(|row| Timestamp::from_millis(row.expires_at) > now)
            .ok_or_else(|| refused("this sign-in is not known here: it is finished or has taken too long"))?;
        let same_browser =
            cookie.is_some_and(|cookie| hash_of(cookie.as_bytes()).ct_eq(&row.browser_hash).into());
        if !same_browser {
            return Err(refused("this sign-in was begun in another browser"));
        }
        let taken = self
            .database
            .write_unrecorded(
                "pending_sign_ins",
                sql("DELETE FROM pending_sign_ins WHERE state_hash = $1").bind(state_hash),
            )
            .await?;
        if taken != 1 {
            return Err(refused("this sign-in is finished already"));
        }
        if row.provider != provider.config.name.as_str() {
            return Err(refused("this sign-in was begun at another identity provider"));
        }
        Ok(row)
    }

    fn assertion(
        &self,
        provider: &Provider,
        claims: &serde_json::Map<String, serde_json::Value>,
        id_token: &str,
    ) -> Result<Assertion> {
        let said = claims::read(claims, &provider.config)?;
        let now = self.ambient.now();
        let text = |claim: &str| claims.get(claim).and_then(serde_json::Value::as_str).map(str::to_owned);
        let amr = claims.get("amr").and_then(serde_json::Value::as_array).map(|methods| {
            methods.iter().filter_map(|method| method.as_str().map(str::to_owned)).take(20).collect()
        });
        Ok(Assertion {
            provider: provider.config.name.clone(),
            issuer: provider.config.issuer.clone(),
            subject: said.subject,
            display_name: said.display_name,
            email: said.email,
            groups: said.groups,
            sid: text("sid"),
            // Without a word from the provider it may have been as long ago as we allowed.
            authenticated_at: verify::authenticated_at(claims)
                .unwrap_or_else(|| now.before(self.sessions.absolute))
                .min(now),
            acr: text("acr"),
            amr: amr.unwrap_or_default(),
            sealed_id_token: Some(self.keys.seal(ID_TOKEN, b"", id_token.as_bytes())),
        })
    }

    /// What the browser can post to end its session at the provider, too. To be asked for before the
    /// session here is ended.
    ///
    /// # Errors
    /// A problem of the database or of the provider.
    pub async fn provider_sign_out(&self, session: SessionId) -> Result<Option<ProviderSignOut>> {
        let row: Option<IdTokenRow> = self
            .database
            .fetch_optional(
                sql("SELECT sealed_id_token, issuer FROM sessions WHERE id = $1 AND ended_at IS NULL")
                    .bind(session),
            )
            .await?;
        let Some((sealed, issuer)) = row.and_then(|row| Some((row.sealed_id_token?, row.issuer))) else {
            return Ok(None);
        };
        let Some(provider) = self.providers.0.iter().find(|provider| provider.config.issuer == issuer) else {
            return Ok(None);
        };
        let id_token = self.keys.unseal(ID_TOKEN, b"", &sealed)?;
        Ok(provider.end_session_endpoint().await?.map(|url| ProviderSignOut {
            provider: provider.config.name.clone(),
            url,
            id_token_hint: SecretValue::new(id_token.to_vec()),
        }))
    }
}

/// Each pending sign-in has a cookie of its own, so that two tabs do not take each other's.
fn cookie_name(state_hash: &[u8; 32]) -> String {
    format!("pc-sign-in-{}", hex::encode(&state_hash[..6]))
}

/// Only a path of our own: everything that a browser could read as another host becomes `/`.
fn local_path(wanted: &str) -> String {
    let local = wanted.starts_with('/')
        && !wanted.starts_with("//")
        && wanted.len() <= 1024
        && wanted.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if local { wanted.to_owned() } else { "/".to_owned() }
}

pub(super) fn text_of(token: &SecretValue) -> String {
    token.expose_text().unwrap_or_default().to_owned()
}

fn refused(why: &str) -> Problem {
    Problem::new(ProblemKind::SignInRefused, why).remedy("Begin again at the sign-in page.")
}

fn provider_said_no(provider: &Name, error: &str) -> Problem {
    let code: String = error.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(64).collect();
    refused(&format!("{provider} did not sign you in: {code}")).with("error", code)
}
