//! Whole sign-ins against a provider that can lie, over HTTP on loopback.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use data_encoding::BASE64URL_NOPAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use url::Url;

use super::bench::{Bench, START, arrival};
use crate::{
    base::{Problem, ProblemKind, Result, config::ProviderConfig},
    identity::{BegunSignIn, Callback, SignInWish, SignedIn},
};

/// A provider that says what it is told to.
pub(super) struct Liar {
    pub(super) issuer: String,
    kid: Mutex<&'static str>,
    published: Mutex<&'static str>,
    /// Claims that take the place of honest ones.
    pub(super) lies: Mutex<Value>,
    nonce: Mutex<String>,
    /// What the token endpoint answers in place of tokens.
    pub(super) instead: Mutex<Option<(u16, String)>>,
    /// Whether tokens come with one to ask again by; a number is a part of it.
    pub(super) refreshes: AtomicUsize,
    /// What came to the token endpoint last.
    pub(super) asked: Mutex<String>,
    keys_asked: AtomicUsize,
    /// Whether it answers with a status of its own trouble.
    is_away: std::sync::atomic::AtomicBool,
}

impl Liar {
    pub(super) async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let liar = Arc::new(Self {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            kid: Mutex::new("k1"),
            published: Mutex::new("k1"),
            lies: Mutex::new(json!({})),
            nonce: Mutex::default(),
            instead: Mutex::default(),
            refreshes: AtomicUsize::new(0),
            asked: Mutex::default(),
            keys_asked: AtomicUsize::new(0),
            is_away: std::sync::atomic::AtomicBool::new(false),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .with_state(Arc::clone(&liar));
        tokio::spawn(async move { axum::serve(listener, router).await });
        liar
    }

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
    }

    /// A JWT of these claims.
    pub(super) fn signed(header: &Value, claims: &Value) -> String {
        let [header, claims] = [header, claims].map(|it| BASE64URL_NOPAD.encode(it.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let signature = BASE64URL_NOPAD.encode(Self::key().sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }

    pub(super) fn config(&self) -> ProviderConfig {
        ProviderConfig {
            name: "company".parse().unwrap(),
            issuer: self.issuer.clone(),
            client_id: "port-control".to_owned(),
            client_secret: None,
            groups_claim: "groups".to_owned(),
            name_claim: "name".to_owned(),
            scopes: Vec::new(),
            email_domains: vec!["example.com".to_owned()],
            acr: Vec::new(),
            required_acr: Vec::new(),
            revalidate: false,
        }
    }
}

async fn discovery(State(liar): State<Arc<Liar>>) -> Response {
    if liar.is_away.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let at = |path: &str| format!("{}/{path}", liar.issuer);
    Json(json!({
        "issuer": liar.issuer, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"),
        "jwks_uri": at("jwks"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
        // A list that nobody should believe.
        "id_token_signing_alg_values_supported": ["none", "HS256", "EdDSA"],
        "authorization_response_iss_parameter_supported": true,
    }))
    .into_response()
}

async fn jwks(State(liar): State<Arc<Liar>>) -> Json<Value> {
    liar.keys_asked.fetch_add(1, Ordering::SeqCst);
    let x = BASE64URL_NOPAD.encode(Liar::key().public_key().as_ref());
    let kid = *liar.published.lock().unwrap();
    Json(json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": x }] }))
}

async fn token(State(liar): State<Arc<Liar>>, body: String) -> Response {
    *liar.asked.lock().unwrap() = body;
    if let Some((status, body)) = liar.instead.lock().unwrap().clone() {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    let now = START / 1000;
    let mut claims = json!({
        "iss": liar.issuer, "sub": "dana", "aud": "port-control", "iat": now, "exp": now + 300,
        "auth_time": now, "nonce": *liar.nonce.lock().unwrap(), "name": "Dana", "groups": ["engineering"],
    });
    for (claim, lie) in liar.lies.lock().unwrap().as_object().unwrap() {
        claims[claim] = lie.clone();
    }
    let id_token = Liar::signed(&json!({ "alg": "EdDSA", "kid": *liar.kid.lock().unwrap() }), &claims);
    let mut answer = json!({ "access_token": "at", "token_type": "Bearer", "id_token": id_token });
    let number = liar.refreshes.load(Ordering::SeqCst);
    if number > 0 {
        liar.refreshes.store(number + 1, Ordering::SeqCst);
        answer["refresh_token"] = json!(format!("refresh-{number}"));
    }
    Json(answer).into_response()
}

/// A house and its provider.
pub(super) async fn house() -> (Bench, Arc<Liar>) {
    let liar = Liar::start().await;
    (Bench::new(vec![liar.config()]).await, liar)
}

async fn begin(bench: &Bench, liar: &Liar, wish: SignInWish) -> (BegunSignIn, Callback) {
    let begun = bench.identity.begin_sign_in("company", wish, None).await.unwrap();
    let asked = |name: &str| begun.url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    *liar.nonce.lock().unwrap() = asked("nonce");
    assert_eq!(asked("code_challenge_method"), "S256");
    let callback = Callback {
        code: Some("code".to_owned()),
        state: Some(asked("state")),
        iss: Some(liar.issuer.clone()),
        error: None,
    };
    (begun, callback)
}

async fn finish(bench: &Bench, begun: &BegunSignIn, callback: Callback) -> Result<SignedIn> {
    let cookie =
        |name: &str| (name == begun.cookie_name).then(|| begun.cookie.expose_text().unwrap().to_owned());
    bench.identity.finish_sign_in("company", callback, cookie, arrival()).await
}

pub(super) async fn attempt(bench: &Bench, liar: &Liar) -> Result<SignedIn> {
    let (begun, callback) = begin(bench, liar, SignInWish::default()).await;
    finish(bench, &begun, callback).await
}

fn refused(outcome: Result<SignedIn>, kind: ProblemKind) {
    let problem: Problem = outcome.unwrap_err();
    assert!(problem.is(kind), "{problem:?}");
}

async fn nobody_joined(bench: &Bench) {
    assert_eq!(bench.entries().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_sign_in_brings_a_session_and_goes_back_to_where_it_began() {
    let (bench, liar) = house().await;
    let wish = SignInWish { return_to: "/logins/log_1".to_owned(), ..SignInWish::default() };
    let (begun, callback) = begin(&bench, &liar, wish).await;
    let done = finish(&bench, &begun, callback).await.unwrap();
    assert_eq!(done.return_to, "/logins/log_1");
    assert_eq!(bench.who(&done.session).await, Ok(done.session.person));
}

#[tokio::test]
async fn abuse_22_a_callback_in_another_browser_is_refused_and_leaves_the_sign_in_to_its_own() {
    let (bench, liar) = house().await;
    let (begun, callback) = begin(&bench, &liar, SignInWish::default()).await;
    let (other, _) = begin(&bench, &liar, SignInWish::default()).await;
    let nothing = bench.identity.finish_sign_in("company", callback.clone(), |_| None, arrival()).await;
    refused(nothing, ProblemKind::SignInRefused);
    let foreign = |_: &str| Some(other.cookie.expose_text().unwrap().to_owned());
    let foreign = bench.identity.finish_sign_in("company", callback.clone(), foreign, arrival()).await;
    refused(foreign, ProblemKind::SignInRefused);
    nobody_joined(&bench).await;
    let nonce = begun.url.query_pairs().find(|(key, _)| key == "nonce").unwrap().1.into_owned();
    *liar.nonce.lock().unwrap() = nonce;
    assert!(finish(&bench, &begun, callback).await.is_ok());
}

#[tokio::test]
async fn abuse_22_a_state_is_good_once_and_for_ten_minutes() {
    let (bench, liar) = house().await;
    let (begun, callback) = begin(&bench, &liar, SignInWish::default()).await;
    let late = begin(&bench, &liar, SignInWish::default()).await;
    *liar.nonce.lock().unwrap() =
        begun.url.query_pairs().find(|(key, _)| key == "nonce").unwrap().1.into_owned();
    finish(&bench, &begun, callback.clone()).await.unwrap();
    refused(finish(&bench, &begun, callback).await, ProblemKind::SignInRefused);
    bench.clock.advance(Duration::from_secs(601));
    refused(finish(&bench, &late.0, late.1).await, ProblemKind::SignInRefused);
}

#[tokio::test]
async fn abuse_22_an_answer_of_another_issuer_or_of_none_is_a_mix_up() {
    let (bench, liar) = house().await;
    for issuer in [None, Some("https://evil.example.com".to_owned())] {
        let (begun, callback) = begin(&bench, &liar, SignInWish::default()).await;
        let callback = Callback { iss: issuer, ..callback };
        refused(finish(&bench, &begun, callback).await, ProblemKind::SignInRefused);
    }
    nobody_joined(&bench).await;
}

#[tokio::test]
async fn abuse_22_an_injected_code_brings_a_token_of_another_sign_in() {
    let (bench, liar) = house().await;
    *liar.lies.lock().unwrap() = json!({ "nonce": "of-another-sign-in" });
    refused(attempt(&bench, &liar).await, ProblemKind::SignInRefused);
    *liar.instead.lock().unwrap() = Some((400, json!({ "error": "invalid_grant" }).to_string()));
    refused(attempt(&bench, &liar).await, ProblemKind::SignInRefused);
    nobody_joined(&bench).await;
}

#[tokio::test]
async fn abuse_21_a_flood_of_unknown_keys_asks_for_keys_once_a_minute() {
    let (bench, liar) = house().await;
    *liar.kid.lock().unwrap() = "unknown";
    for _ in 0..10 {
        refused(attempt(&bench, &liar).await, ProblemKind::ProviderFault);
    }
    assert_eq!(liar.keys_asked.load(Ordering::SeqCst), 2);
    bench.clock.advance(Duration::from_secs(61));
    *liar.published.lock().unwrap() = "unknown";
    // Once the provider publishes the key, it is found.
    attempt(&bench, &liar).await.unwrap();
    assert_eq!(liar.keys_asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn abuse_23_step_up_answered_with_an_old_sign_in_gives_no_session() {
    let (bench, liar) = house().await;
    *liar.lies.lock().unwrap() = json!({ "auth_time": START / 1000 - 3600 });
    let wish = SignInWish { max_age: Some(Duration::from_mins(5)), ..SignInWish::default() };
    let (begun, callback) = begin(&bench, &liar, wish).await;
    refused(finish(&bench, &begun, callback).await, ProblemKind::InsufficientAuthentication);
    nobody_joined(&bench).await;
}

#[tokio::test]
async fn a_provider_that_is_down_or_talks_nonsense_is_named_and_heals_by_itself() {
    let (bench, liar) = house().await;
    for nonsense in ["<html>", "{}", "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"id_token\":\"x\"}"]
    {
        *liar.instead.lock().unwrap() = Some((200, nonsense.to_owned()));
        refused(attempt(&bench, &liar).await, ProblemKind::ProviderFault);
    }
    *liar.instead.lock().unwrap() = Some((200, " ".repeat(2 * 1024 * 1024)));
    refused(attempt(&bench, &liar).await, ProblemKind::ProviderFault);
    *liar.instead.lock().unwrap() = None;
    assert!(attempt(&bench, &liar).await.is_ok());

    let mut gone = liar.config();
    gone.issuer = "http://127.0.0.1:9".to_owned();
    let bench = Bench::new(vec![gone]).await;
    let problem = bench.identity.begin_sign_in("company", SignInWish::default(), None).await.unwrap_err();
    assert!(problem.is(ProblemKind::ProviderUnavailable) && problem.detail.contains("company"));
}

#[tokio::test]
async fn abuse_20_no_provider_is_spoken_to_in_clear_text_beyond_loopback() {
    let liar = Liar::start().await;
    let mut config = liar.config();
    config.issuer = "http://idp.example.com".to_owned();
    let redirect: Url = "https://secrets.example.com/cb".parse().unwrap();
    let ambient = Bench::new(Vec::new()).await.ambient;
    let provider = crate::identity::oidc::Providers::new(vec![config], &redirect, &ambient);
    assert!(provider.err().unwrap().is(ProblemKind::InvalidConfiguration));
}

#[tokio::test]
async fn a_provider_that_is_away_is_believed_for_a_day_and_read_anew_before_that_is_noticed() {
    let (bench, liar) = house().await;
    attempt(&bench, &liar).await.unwrap();
    assert_eq!(liar.keys_asked.load(Ordering::SeqCst), 1);
    bench.clock.advance(Duration::from_mins(46));
    bench.identity.read_providers_anew().await;
    assert_eq!(liar.keys_asked.load(Ordering::SeqCst), 2, "nobody who signs in waits for that");
    bench.identity.read_providers_anew().await;
    assert_eq!(liar.keys_asked.load(Ordering::SeqCst), 2);
    liar.is_away.store(true, Ordering::SeqCst);
    bench.clock.advance(Duration::from_hours(2));
    assert!(bench.identity.begin_sign_in("company", SignInWish::default(), None).await.is_ok());
    bench.clock.advance(Duration::from_hours(23));
    let problem = bench.identity.begin_sign_in("company", SignInWish::default(), None).await.unwrap_err();
    assert!(problem.is(ProblemKind::ProviderUnavailable), "{problem:?}");
}

#[tokio::test]
async fn a_sign_in_by_none_of_the_required_classes_is_refused() {
    let liar = Liar::start().await;
    let mut config = liar.config();
    config.required_acr = vec!["mfa".to_owned()];
    let bench = Bench::new(vec![config]).await;
    let asked = bench.identity.begin_sign_in("company", SignInWish::default(), None).await.unwrap().url;
    assert!(asked.query_pairs().any(|(name, value)| name == "acr_values" && value == "mfa"), "{asked}");
    for acr in [json!(null), json!("pwd"), json!("mfa ")] {
        *liar.lies.lock().unwrap() = json!({ "acr": acr });
        refused(attempt(&bench, &liar).await, ProblemKind::SignInRefused);
    }
    nobody_joined(&bench).await;
    *liar.lies.lock().unwrap() = json!({ "acr": "mfa" });
    attempt(&bench, &liar).await.unwrap();
}

#[tokio::test]
async fn abuse_04_a_token_without_a_subject_is_nobodys() {
    let (bench, liar) = house().await;
    for subject in [json!(""), json!("s".repeat(256))] {
        *liar.lies.lock().unwrap() = json!({ "sub": subject });
        refused(attempt(&bench, &liar).await, ProblemKind::ProviderFault);
    }
    nobody_joined(&bench).await;
}
