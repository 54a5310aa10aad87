//! A development-only OpenID provider: five example people as buttons, real tokens. Good enough for our
//! own relying party and a browser; reachable on loopback only, and guarded by a secret that is made at
//! each start and printed to the terminal.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use askama::Template;
use axum::{
    Form, Json, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use data_encoding::BASE64URL_NOPAD;
use ring::{
    digest::{SHA256, SHA512, digest},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::base::{Ambient, Problem, Result, SecretValue, Timestamp};

/// The one client that it knows. A public one: PKCE is what binds a code to it.
pub const CLIENT_ID: &str = "port-control";
/// How long a code is good for.
const CODE_LIFE: Duration = Duration::from_mins(1);
/// How long an ID token is good for.
const TOKEN_LIFE: Duration = Duration::from_mins(5);
/// How many codes may wait.
const MOST_CODES: usize = 1000;
/// Remembers a browser that has given the secret.
const COOKIE: &str = "dev-idp";

/// An example person.
#[derive(Clone, Debug)]
pub struct DevPerson {
    /// What she signs in as, and her subject.
    pub login: String,
    /// Her name.
    pub name: String,
    /// Her e-mail address.
    pub email: String,
    /// Her groups.
    pub groups: Vec<String>,
}

impl DevPerson {
    /// The people of all examples.
    #[must_use]
    pub fn seeded() -> Vec<Self> {
        let one = |name: &str, groups: &[&str]| {
            let login = name.to_lowercase();
            Self {
                email: format!("{login}@example.com"),
                login,
                name: name.to_owned(),
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            }
        };
        vec![
            one("Dana", &["engineering"]),
            one("Omar", &["engineering", "leads"]),
            one("Ada", &["it"]),
            one("Aya", &["audit"]),
            one("Lena", &["engineering", "leads"]),
        ]
    }
}

/// The provider.
pub struct DevIdp {
    people: Vec<DevPerson>,
    issuer: Url,
    ambient: Ambient,
    key: Ed25519KeyPair,
    secret: SecretValue,
    /// What a browser holds that has given the secret.
    pass: SecretValue,
    codes: Mutex<HashMap<String, Code>>,
}

/// A code that waits to be exchanged.
struct Code {
    person: DevPerson,
    challenge: String,
    redirect_uri: String,
    nonce: String,
    acr: Option<String>,
    expires_at: Timestamp,
}

/// An authorization request (OpenID Connect Core 1.0, section 3.1.2.1), as far as it is used here.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Asked {
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    response_type: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    code_challenge: String,
    #[serde(default)]
    code_challenge_method: String,
    #[serde(default)]
    acr_values: String,
}

#[derive(Deserialize)]
struct Chosen {
    #[serde(flatten)]
    asked: Asked,
    person: Option<String>,
    secret: Option<String>,
}

#[derive(Deserialize)]
struct Exchange {
    grant_type: String,
    code: String,
    redirect_uri: String,
    code_verifier: String,
}

#[derive(Template)]
#[template(path = "dev/idp.html")]
struct Page<'a> {
    action: String,
    fields: Vec<(&'static str, &'a str)>,
    people: &'a [DevPerson],
    ask_secret: bool,
    problem: Option<&'a str>,
}

impl DevIdp {
    /// A provider for `people` at `issuer`, whose keys and secret are made now.
    ///
    /// # Errors
    /// `internal` where no key can be made.
    pub fn new(people: Vec<DevPerson>, issuer: Url, ambient: Ambient) -> Result<Self> {
        let key = Ed25519KeyPair::from_seed_unchecked(&ambient.bytes::<32>())
            .map_err(|_| Problem::internal("the development provider's key cannot be made"))?;
        let secret = SecretValue::from(BASE64URL_NOPAD.encode(&ambient.bytes::<12>()));
        let pass = SecretValue::from(BASE64URL_NOPAD.encode(&ambient.bytes::<32>()));
        Ok(Self { people, issuer, ambient, key, secret, pass, codes: Mutex::default() })
    }

    /// The secret that the page asks for, to be printed to the terminal at the start.
    #[must_use]
    pub fn secret(&self) -> SecretValue {
        self.secret.clone()
    }

    /// Its routes, to be nested at the path of the issuer.
    pub fn router(self) -> Router {
        let idp = Arc::new(self);
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/authorize", get(ask).post(choose))
            .route("/token", post(exchange))
            .route("/end-session", get(end_session).post(end_session))
            .layer(middleware::from_fn_with_state(Arc::clone(&idp), guard))
            .with_state(idp)
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.issuer.as_str().trim_end_matches('/'))
    }

    fn issuer(&self) -> &str {
        self.issuer.as_str().trim_end_matches('/')
    }

    /// Why a request is not taken, where it is not.
    fn refuse(&self, asked: &Asked) -> Option<&'static str> {
        let redirect: Option<Url> = asked.redirect_uri.parse().ok();
        if asked.client_id != CLIENT_ID {
            return Some("unknown client");
        }
        if redirect.is_none_or(|url| url.origin() != self.issuer.origin()) {
            return Some("the redirect URI is not on this server");
        }
        if asked.response_type != "code" || asked.code_challenge_method != "S256" {
            return Some("only the code flow with PKCE S256");
        }
        let complete =
            [&asked.state, &asked.nonce, &asked.code_challenge].iter().all(|text| !text.is_empty());
        (!complete).then_some("state, nonce and code challenge are wanted")
    }

    fn is_own(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).or_else(|| uri.authority().map(http::uri::Authority::as_str));
        let own_origin = self.issuer.origin().ascii_serialization();
        host == Some(self.issuer.authority())
            && text(header::ORIGIN).is_none_or(|origin| origin == own_origin)
    }

    fn page(&self, asked: &Asked, headers: &HeaderMap, problem: Option<&str>) -> Response {
        let page = Page {
            action: self.at("authorize"),
            fields: asked.fields(),
            people: &self.people,
            ask_secret: !self.knows(headers),
            problem,
        };
        match page.render() {
            Ok(html) => (no_script(), Html(html)).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    /// Whether this browser has given the secret before.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get(header::COOKIE).and_then(|value| value.to_str().ok()).unwrap_or("");
        cookies
            .split(';')
            .filter_map(|cookie| cookie.trim().split_once('='))
            .any(|(name, value)| name == COOKIE && value.as_bytes().ct_eq(self.pass.expose()).into())
    }

    /// A code for `person`, good once.
    fn issue(&self, person: &DevPerson, asked: &Asked) -> Option<String> {
        let code = BASE64URL_NOPAD.encode(&self.ambient.bytes::<32>());
        let now = self.ambient.now();
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, code| code.expires_at > now);
        if codes.len() >= MOST_CODES {
            return None;
        }
        let acr = asked.acr_values.split_whitespace().next().map(str::to_owned);
        codes.insert(
            code.clone(),
            Code {
                person: person.clone(),
                challenge: asked.code_challenge.clone(),
                redirect_uri: asked.redirect_uri.clone(),
                nonce: asked.nonce.clone(),
                acr,
                expires_at: now.after(CODE_LIFE),
            },
        );
        Some(code)
    }

    /// Takes a code out where everything fits.
    fn redeem(&self, exchange: &Exchange) -> Option<Code> {
        let code = self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(&exchange.code)?;
        let challenge = BASE64URL_NOPAD.encode(digest(&SHA256, exchange.code_verifier.as_bytes()).as_ref());
        let fits = exchange.grant_type == "authorization_code"
            && exchange.redirect_uri == code.redirect_uri
            && challenge == code.challenge
            && code.expires_at > self.ambient.now();
        fits.then_some(code)
    }

    fn id_token(&self, code: &Code, access_token: &str) -> String {
        let now = self.ambient.now();
        let hash = digest(&SHA512, access_token.as_bytes());
        let mut claims = json!({
            "iss": self.issuer(),
            "sub": code.person.login,
            "aud": CLIENT_ID,
            "iat": now.as_seconds(),
            "exp": now.after(TOKEN_LIFE).as_seconds(),
            "auth_time": now.as_seconds(),
            "nonce": code.nonce,
            "at_hash": BASE64URL_NOPAD.encode(&hash.as_ref()[..32]),
            "name": code.person.name,
            "email": code.person.email,
            "email_verified": true,
            "groups": code.person.groups,
            "amr": ["pwd"],
        });
        if let Some(acr) = &code.acr {
            claims["acr"] = json!(acr);
        }
        sign(&self.key, &claims)
    }
}

/// Signs claims as a JWT (RFC 7519) by EdDSA (RFC 8037).
fn sign(key: &Ed25519KeyPair, claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "kid": "dev", "typ": "JWT" });
    let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature = BASE64URL_NOPAD.encode(key.sign(signed.as_bytes()).as_ref());
    format!("{signed}.{signature}")
}

impl Asked {
    fn fields(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("response_type", &self.response_type),
            ("state", &self.state),
            ("nonce", &self.nonce),
            ("code_challenge", &self.code_challenge),
            ("code_challenge_method", &self.code_challenge_method),
            ("acr_values", &self.acr_values),
        ]
    }
}

fn no_script() -> [(header::HeaderName, &'static str); 3] {
    [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
    ]
}

/// Another site that resolves its own name to this machine, or posts to it, gets nothing.
async fn guard(State(idp): State<Arc<DevIdp>>, request: Request, next: Next) -> Response {
    if idp.is_own(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "not from here\n").into_response()
}

async fn discovery(State(idp): State<Arc<DevIdp>>) -> Json<Value> {
    Json(json!({
        "issuer": idp.issuer(),
        "authorization_endpoint": idp.at("authorize"),
        "token_endpoint": idp.at("token"),
        "jwks_uri": idp.at("jwks"),
        "end_session_endpoint": idp.at("end-session"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn jwks(State(idp): State<Arc<DevIdp>>) -> Json<Value> {
    let x = BASE64URL_NOPAD.encode(idp.key.public_key().as_ref());
    Json(json!({
        "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "dev", "x": x }],
    }))
}

async fn ask(State(idp): State<Arc<DevIdp>>, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    match idp.refuse(&asked) {
        Some(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
        None => idp.page(&asked, &headers, None),
    }
}

async fn choose(State(idp): State<Arc<DevIdp>>, headers: HeaderMap, Form(chosen): Form<Chosen>) -> Response {
    if let Some(why) = idp.refuse(&chosen.asked) {
        return (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response();
    }
    // A browser names the origin of a post; without it this could be anybody's page.
    if !headers.contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "not from here\n").into_response();
    }
    let given: bool = chosen
        .secret
        .as_deref()
        .is_some_and(|secret| secret.trim().as_bytes().ct_eq(idp.secret.expose()).into());
    if !given && !idp.knows(&headers) {
        return idp.page(
            &chosen.asked,
            &headers,
            Some("That is not the secret that was printed at this start."),
        );
    }
    let person = idp.people.iter().find(|person| Some(&person.login) == chosen.person.as_ref());
    let Some(code) = person.and_then(|person| idp.issue(person, &chosen.asked)) else {
        return idp.page(&chosen.asked, &headers, Some("Choose one of these people."));
    };
    let Ok(mut back) = chosen.asked.redirect_uri.parse::<Url>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &chosen.asked.state)
        .append_pair("iss", idp.issuer());
    let pass = idp.pass.expose_text().unwrap_or_default();
    let cookie = format!("{COOKIE}={pass}; Path=/; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, cookie)], Redirect::to(back.as_str())).into_response()
}

async fn exchange(State(idp): State<Arc<DevIdp>>, Form(exchange): Form<Exchange>) -> Response {
    let Some(code) = idp.redeem(&exchange) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    };
    let access_token = BASE64URL_NOPAD.encode(&idp.ambient.bytes::<32>());
    let answer = json!({
        "id_token": idp.id_token(&code, &access_token),
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFE.as_secs(),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

async fn end_session() -> Response {
    let cookie = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, cookie)], "You are signed out of the development provider.\n").into_response()
}
