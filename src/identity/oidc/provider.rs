//! One identity provider: what it says of itself, its keys, and talking to it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use openidconnect::{
    AdditionalProviderMetadata, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, IssuerUrl,
    OAuth2TokenResponse as _, PkceCodeVerifier, ProviderMetadata, RedirectUrl, RefreshToken,
    RequestTokenError, TokenUrl,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod,
        CoreErrorResponseType, CoreGrantType, CoreIdToken, CoreJsonWebKey, CoreJsonWebKeySet,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    claims::is_entra,
    http::{BoundedClient, NoAnswer},
    verify::{Disbelief, Expected, verify},
};
use crate::base::{Ambient, Problem, ProblemKind, Result, SecretValue, Timestamp, config::ProviderConfig};

/// How long what a provider says of itself is believed.
const DISCOVERY_LIFE: Duration = Duration::from_hours(1);
/// When it is read anew by itself, so that nobody who signs in waits for it.
const READ_AGAIN_AFTER: Duration = Duration::from_mins(45);
/// How long it is believed where the provider does not answer meanwhile.
const STALE_LIFE: Duration = Duration::from_hours(24);
/// How often a provider that does not answer is asked for it.
const TRIED_EVERY: Duration = Duration::from_secs(30);
/// The scope that brings a refresh token.
pub(super) const OFFLINE: &str = "offline_access";
/// How often unknown keys make us look for new ones at most.
const KEYS_EVERY: Duration = Duration::from_mins(1);

/// What we read of a provider's metadata beyond the crate's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Extra {
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    pub(super) end_session_endpoint: Option<Url>,
}

impl AdditionalProviderMetadata for Extra {}

type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// A provider.
pub(super) struct Provider {
    pub(super) config: ProviderConfig,
    secret: Option<SecretValue>,
    client: BoundedClient,
    redirect: Url,
    ambient: Ambient,
    known: Mutex<Known>,
    /// Who reads it anew.
    turn: tokio::sync::Mutex<()>,
}

/// What is known of it.
#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Timestamp)>,
    /// When reading it anew last failed.
    failed: Option<Timestamp>,
    /// When an unknown key last made us look.
    looked: Option<Timestamp>,
}

/// What a code was exchanged for.
#[expect(clippy::struct_field_names, reason = "these are the names that the standard has for them")]
pub(super) struct Tokens {
    pub(super) id_token: CoreIdToken,
    access_token: SecretValue,
    /// By which it is asked again.
    pub(super) refresh_token: Option<SecretValue>,
}

/// What came of asking again.
pub(super) enum Renewal {
    /// The sign-in stands. A new ID token where the provider gave one, and what it is asked by next.
    Stands(Option<Box<Tokens>>, Option<SecretValue>),
    /// It does not: the provider takes the refresh token no more.
    Refused,
}

/// What a sign-in that comes back has to fit.
pub(super) struct Awaited<'a> {
    pub(super) nonce: Option<&'a str>,
    pub(super) max_age: Option<Duration>,
    pub(super) acr_values: &'a [String],
}

impl Provider {
    /// Reads the client secret; talks to nobody yet.
    pub(super) fn new(config: ProviderConfig, redirect: Url, ambient: Ambient) -> Result<Self> {
        let issuer: Url = config
            .issuer
            .parse()
            .map_err(|_| Problem::new(ProblemKind::InvalidConfiguration, "an issuer is no URL"))?;
        let client = BoundedClient::new(&issuer)?;
        client.may_call(&issuer).map_err(|why| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                format!("the issuer of {} will not do: {why}", config.name),
            )
        })?;
        let secret = config.client_secret.as_ref().map(crate::base::config::Credential::read).transpose()?;
        let (known, turn) = (Mutex::new(Known::default()), tokio::sync::Mutex::new(()));
        Ok(Self { config, secret, client, redirect, ambient, known, turn })
    }

    fn unavailable(&self, why: impl std::fmt::Display) -> Problem {
        Problem::new(
            ProblemKind::ProviderUnavailable,
            format!("the identity provider {} cannot be used now: {why}", self.config.name),
        )
        .remedy("Try again in a moment; `port-control check` says whether it is reached.")
    }

    fn fault(&self, what: impl std::fmt::Display) -> Problem {
        Problem::new(
            ProblemKind::ProviderFault,
            format!("the identity provider {} answered nonsense: {what}", self.config.name),
        )
        .remedy("Ask whoever runs it; `port-control check` looks at its discovery document.")
    }

    fn no_answer(&self, why: &NoAnswer) -> Problem {
        match why {
            NoAnswer::Unreachable => self.unavailable(why),
            NoAnswer::TooLarge | NoAnswer::Forbidden(_) | NoAnswer::Inside(_) => self.fault(why),
        }
    }

    pub(super) fn client(&self) -> &BoundedClient {
        &self.client
    }

    pub(super) fn now(&self) -> Timestamp {
        self.ambient.now()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of it, where that is younger than `age`.
    fn younger_than(&self, age: Duration) -> Option<Arc<Metadata>> {
        let now = self.ambient.now();
        let known = self.known();
        known
            .metadata
            .as_ref()
            .filter(|(_, at)| now.since(*at) < age)
            .map(|(metadata, _)| Arc::clone(metadata))
    }

    /// What the provider says of itself, an hour old at most; a day where it does not answer meanwhile.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>> {
        if let Some(metadata) = self.younger_than(DISCOVERY_LIFE) {
            return Ok(metadata);
        }
        let _turn = self.turn.lock().await;
        if let Some(metadata) = self.younger_than(DISCOVERY_LIFE) {
            return Ok(metadata);
        }
        let now = self.ambient.now();
        let stale = self.younger_than(STALE_LIFE);
        let failed_just_now = self.known().failed.is_some_and(|at| now.since(at) < TRIED_EVERY);
        if let Some(stale) = stale.clone().filter(|_| failed_just_now) {
            return Ok(stale);
        }
        match (self.read_anew().await, stale) {
            (Err(problem), Some(stale)) if problem.is(ProblemKind::ProviderUnavailable) => Ok(stale),
            (outcome, _) => outcome,
        }
    }

    /// Reads it anew before it runs out, where that is near. Somebody who signs in does it else.
    pub(super) async fn keep_fresh(&self) {
        let is_old = self.younger_than(READ_AGAIN_AFTER).is_none() && self.younger_than(STALE_LIFE).is_some();
        let failed = self.known().failed;
        if !is_old || failed.is_some_and(|at| self.ambient.now().since(at) < TRIED_EVERY) {
            return;
        }
        let _turn = self.turn.lock().await;
        if let Err(problem) = self.read_anew().await {
            tracing::warn!(provider = %self.config.name, %problem, "an identity provider could not be read anew");
        }
    }

    /// The same read anew because a key was unknown; nothing where that was done a moment ago.
    pub(super) async fn metadata_with_new_keys(&self) -> Result<Option<Arc<Metadata>>> {
        let _turn = self.turn.lock().await;
        let now = self.ambient.now();
        if self.known().looked.is_some_and(|looked| now.since(looked) < KEYS_EVERY) {
            return Ok(None);
        }
        self.known().looked = Some(now);
        self.read_anew().await.map(Some)
    }

    async fn read_anew(&self) -> Result<Arc<Metadata>> {
        let now = self.ambient.now();
        let read = self.discover().await.map(Arc::new);
        let mut known = self.known();
        match &read {
            Ok(metadata) => (known.metadata, known.failed) = (Some((Arc::clone(metadata), now)), None),
            Err(_) => known.failed = Some(now),
        }
        read
    }

    async fn discover(&self) -> Result<Metadata> {
        let issuer = IssuerUrl::new(self.config.issuer.clone()).map_err(|e| self.fault(e))?;
        let metadata = Metadata::discover_async(issuer, &self.client).await.map_err(|error| match error {
            openidconnect::DiscoveryError::Request(why) => self.no_answer(&why),
            openidconnect::DiscoveryError::Response(status, ..) if status.is_server_error() => {
                self.unavailable(format!("it answers with status {}", status.as_u16()))
            }
            // The crate's texts may quote the answer; ours say what sort of thing is wrong.
            openidconnect::DiscoveryError::Response(status, ..) => {
                self.fault(format!("its discovery has status {} or is no JSON", status.as_u16()))
            }
            openidconnect::DiscoveryError::Validation(_) => self.fault("its discovery names another issuer"),
            _ => self.fault("its discovery or its keys cannot be read"),
        })?;
        let token_endpoint =
            metadata.token_endpoint().ok_or_else(|| self.fault("it names no token endpoint"))?;
        let ends = metadata.additional_metadata().end_session_endpoint.as_ref();
        let urls = [Some(metadata.authorization_endpoint().url()), Some(token_endpoint.url()), ends];
        for url in urls.into_iter().flatten() {
            self.client.may_call(url).map_err(|why| self.no_answer(&why))?;
        }
        Ok(metadata)
    }

    /// Where a browser is sent to sign in.
    pub(super) async fn authorize_url(
        &self,
        state: &str,
        challenge: &str,
        awaited: &Awaited<'_>,
        oldest: Duration,
    ) -> Result<Url> {
        let metadata = self.metadata().await?;
        let mut url = metadata.authorization_endpoint().url().clone();
        let acr_values = self.acr_values(awaited);
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", self.redirect.as_str())
            .append_pair("scope", &self.scope())
            .append_pair("state", state)
            .append_pair("nonce", awaited.nonce.unwrap_or_default())
            .append_pair("code_challenge", challenge)
            .append_pair("code_challenge_method", "S256")
            // Asked for always, because only then a provider has to say when the person signed in.
            .append_pair("max_age", &awaited.max_age.unwrap_or(oldest).as_secs().to_string());
        // Where it can be said that a class is needed, and not only liked, it is said so, and in one way alone
        // (OpenID Connect Core 1.0, section 5.5.1.1): else whoever is signed in there comes back as she was.
        let is_needed = !awaited.acr_values.is_empty() && metadata.claims_parameter_supported() == Some(true);
        if is_needed {
            let acr = serde_json::json!({ "essential": true, "values": awaited.acr_values });
            let claims = serde_json::json!({ "id_token": { "acr": acr } });
            url.query_pairs_mut().append_pair("claims", &claims.to_string());
        } else if !acr_values.is_empty() {
            url.query_pairs_mut().append_pair("acr_values", &acr_values.join(" "));
        }
        // OpenID Connect Core 1.0, section 11. Entra gives a refresh token without, and would ask again and
        // again for a consent that only its administrators may give.
        if self.config.revalidate && !is_entra(&self.config.issuer) {
            url.query_pairs_mut().append_pair("prompt", "consent");
        }
        Ok(url)
    }

    /// What a step-up asks for, else what every sign-in has to have, else what is merely preferred.
    fn acr_values<'a>(&'a self, awaited: &Awaited<'a>) -> &'a [String] {
        let in_order = [awaited.acr_values, &self.config.required_acr, &self.config.acr];
        in_order.into_iter().find(|values| !values.is_empty()).unwrap_or_default()
    }

    fn scope(&self) -> String {
        let mut scopes: Vec<&str> = vec!["openid"];
        scopes.extend(self.config.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid"));
        if self.config.revalidate && !scopes.contains(&OFFLINE) {
            scopes.push(OFFLINE);
        }
        scopes.join(" ")
    }

    /// Refuses an answer that comes from another provider than was asked (RFC 9207).
    pub(super) async fn check_issuer(&self, said: Option<&str>) -> Result<()> {
        let advertised =
            self.metadata().await?.additional_metadata().authorization_response_iss_parameter_supported;
        match said {
            Some(issuer) if issuer == self.config.issuer => Ok(()),
            None if !advertised => Ok(()),
            _ => Err(Problem::new(
                ProblemKind::SignInRefused,
                format!("the answer does not come from {}, which was asked", self.config.name),
            )
            .remedy("Begin again at the sign-in page.")),
        }
    }

    /// Exchanges a code for tokens.
    pub(super) async fn exchange(&self, code: &str, verifier: &str) -> Result<Tokens> {
        let metadata = self.metadata().await?;
        let client = self.oauth_client(&metadata)?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()))
            .request_async(&self.client)
            .await
            .map_err(|error| match error {
                RequestTokenError::Request(why) => self.no_answer(&why),
                RequestTokenError::ServerResponse(said) => self.token_refused(said.error()),
                RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                    self.fault("its token endpoint says nothing that can be read")
                }
            })?;
        let id_token = answer.extra_fields().id_token().cloned();
        Ok(Tokens {
            id_token: id_token.ok_or_else(|| self.fault("its token endpoint gives no ID token"))?,
            access_token: SecretValue::from(answer.access_token().secret().clone()),
            refresh_token: answer.refresh_token().map(|token| SecretValue::from(token.secret().clone())),
        })
    }

    /// Asks again whether a sign-in stands. Only a clear no is one: whatever else goes wrong is an error.
    pub(super) async fn renew(&self, token: &SecretValue) -> Result<Renewal> {
        let metadata = self.metadata().await?;
        let client = self.oauth_client(&metadata)?;
        let token = RefreshToken::new(token.expose_text().unwrap_or_default().to_owned());
        let answer = match client.exchange_refresh_token(&token).request_async(&self.client).await {
            Ok(answer) => answer,
            Err(RequestTokenError::ServerResponse(said))
                if *said.error() == CoreErrorResponseType::InvalidGrant =>
            {
                return Ok(Renewal::Refused);
            }
            Err(RequestTokenError::ServerResponse(said)) => return Err(self.token_refused(said.error())),
            Err(RequestTokenError::Request(why)) => return Err(self.no_answer(&why)),
            Err(_) => return Err(self.unavailable("its token endpoint says nothing that can be read")),
        };
        let refresh_token = answer.refresh_token().map(|token| SecretValue::from(token.secret().clone()));
        let tokens = answer.extra_fields().id_token().cloned().map(|id_token| {
            Box::new(Tokens {
                id_token,
                access_token: SecretValue::from(answer.access_token().secret().clone()),
                refresh_token: None,
            })
        });
        Ok(Renewal::Stands(tokens, refresh_token))
    }

    fn token_refused(&self, error: &CoreErrorResponseType) -> Problem {
        match error {
            CoreErrorResponseType::InvalidGrant => Problem::new(
                ProblemKind::SignInRefused,
                format!(
                    "{} does not take the code of this sign-in: it is used, too old, or not ours",
                    self.config.name
                ),
            )
            .remedy("Begin again at the sign-in page."),
            CoreErrorResponseType::InvalidClient | CoreErrorResponseType::UnauthorizedClient => {
                self.fault("it does not know us by the client id and secret in our configuration")
            }
            _ => self.fault("its token endpoint refuses"),
        }
    }

    fn oauth_client(
        &self,
        metadata: &Metadata,
    ) -> Result<
        CoreClient<
            openidconnect::EndpointSet,
            openidconnect::EndpointNotSet,
            openidconnect::EndpointNotSet,
            openidconnect::EndpointNotSet,
            openidconnect::EndpointSet,
            openidconnect::EndpointNotSet,
        >,
    > {
        let issuer = IssuerUrl::new(self.config.issuer.clone()).map_err(|e| self.fault(e))?;
        let token = metadata.token_endpoint().ok_or_else(|| self.fault("it names no token endpoint"))?.url();
        let mut client = CoreClient::new(
            ClientId::new(self.config.client_id.clone()),
            issuer,
            CoreJsonWebKeySet::new(Vec::new()),
        )
        .set_redirect_uri(RedirectUrl::from_url(self.redirect.clone()));
        if let Some(secret) = self.secret.as_ref().and_then(SecretValue::expose_text) {
            client = client.set_client_secret(ClientSecret::new(secret.to_owned()));
        }
        let methods = metadata.token_endpoint_auth_methods_supported();
        let basic = methods.is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let client = client.set_auth_type(if basic { AuthType::BasicAuth } else { AuthType::RequestBody });
        Ok(client
            .set_auth_uri(AuthUrl::from_url(metadata.authorization_endpoint().url().clone()))
            .set_token_uri(TokenUrl::from_url(token.clone())))
    }

    /// The claims of an ID token that is to be believed. An unknown key makes us look for new keys once.
    pub(super) async fn believe(
        &self,
        tokens: &Tokens,
        awaited: &Awaited<'_>,
    ) -> Result<serde_json::Map<String, serde_json::Value>> {
        let metadata = self.metadata().await?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: awaited.nonce,
            access_token: tokens.access_token.expose_text().unwrap_or(""),
            max_age: awaited.max_age,
            acr_values: awaited.acr_values,
            now: self.ambient.now(),
        };
        let mut outcome = verify(&tokens.id_token, metadata.jwks(), &expected);
        if outcome == Err(Disbelief::UnknownKey)
            && let Some(metadata) = self.metadata_with_new_keys().await?
        {
            outcome = verify(&tokens.id_token, metadata.jwks(), &expected);
        }
        outcome.map_err(|why| self.disbelieve(&why))
    }

    /// Refuses a sign-in that is by none of the classes which the configuration wants of every one.
    pub(super) fn check_class(&self, claims: &serde_json::Map<String, serde_json::Value>) -> Result<()> {
        let required = &self.config.required_acr;
        let acr = claims.get("acr").and_then(serde_json::Value::as_str);
        if required.is_empty() || acr.is_some_and(|acr| required.iter().any(|wanted| wanted == acr)) {
            return Ok(());
        }
        let name = &self.config.name;
        Err(Problem::new(
            ProblemKind::SignInRefused,
            format!("{name} does not say that you signed in by one of {}", required.join(", ")),
        )
        .remedy(format!(
            "Sign in again with your second factor. Where you were not asked for it, whoever runs {name} has to have \
             it asked for; `required_acr` in the server's configuration says which classes are taken."
        )))
    }

    fn disbelieve(&self, why: &Disbelief) -> Problem {
        let name = &self.config.name;
        match why {
            Disbelief::UnknownKey => self.fault("its ID token is signed by a key that it does not publish"),
            Disbelief::Wrong(what) => self.fault(format!("of its ID token, {what}")),
            Disbelief::OtherSignIn => Problem::new(
                ProblemKind::SignInRefused,
                format!("what {name} answered belongs to another sign-in than this"),
            )
            .remedy("Begin again at the sign-in page."),
            Disbelief::TooWeak(what) => Problem::new(
                ProblemKind::InsufficientAuthentication,
                format!("signing in at {name} did not give what is needed: {what}"),
            )
            .remedy("Sign in again and give the provider your password or second factor when it asks."),
        }
    }

    /// Where the provider's own session is ended.
    pub(super) async fn end_session_endpoint(&self) -> Result<Option<Url>> {
        Ok(self.metadata().await?.additional_metadata().end_session_endpoint.clone())
    }
}
