//! `port-control check` tries a provider's configuration and says what is wrong with it.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use axum::{Json, Router, extract::State, http::header, response::IntoResponse, routing::get};
use libtest_mimic::Trial;
use port_control::{
    base::config::ProviderConfig,
    server::{Checked, check},
};
use serde_json::{Value, json};

use crate::{
    peers::{Client, Peers},
    support::{Given, on_sqlite},
    web::house::House,
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut all = on_sqlite(peers, "identity::check_says_what_is_wrong_with_a_provider", says_what_is_wrong);
    all.extend(on_sqlite(peers, "identity::check_says_that_a_provider_cannot_be_reached", cannot_be_reached));
    if peers.oidc_provider.is_some() {
        all.extend(on_sqlite(peers, "identity::check_is_content_with_a_real_provider", is_content));
    }
    all
}

/// A provider that says of itself what a test wants.
#[derive(Default)]
struct Crooked {
    address: String,
    /// What its document says in place of what would be right; `null` takes it out.
    says: Mutex<Value>,
    keys: Mutex<Option<Value>>,
    date: Mutex<Option<&'static str>>,
}

impl Crooked {
    async fn start() -> Result<Arc<Self>> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let crooked = Arc::new(Self { address, says: Mutex::new(json!({})), ..Self::default() });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/jwks", get(keys))
            .with_state(Arc::clone(&crooked));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(crooked)
    }
}

async fn document(State(crooked): State<Arc<Crooked>>) -> axum::response::Response {
    let at = |path: &str| format!("{}/{path}", crooked.address);
    let mut said = json!({
        "issuer": crooked.address, "authorization_endpoint": at("auth"), "token_endpoint": at("token"),
        "jwks_uri": at("jwks"), "end_session_endpoint": at("out"), "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["sub", "groups"], "acr_values_supported": ["mfa"],
        "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
        "backchannel_logout_supported": true,
    });
    for (name, value) in crooked.says.lock().expect("nobody panics with it").as_object().into_iter().flatten()
    {
        said[name] = value.clone();
    }
    let mut answer = Json(said).into_response();
    if let Some(date) = *crooked.date.lock().expect("nobody panics with it") {
        answer.headers_mut().insert(header::DATE, header::HeaderValue::from_static(date));
    }
    answer
}

async fn keys(State(crooked): State<Arc<Crooked>>) -> Json<Value> {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let right = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "k", "x": x }] });
    Json(crooked.keys.lock().expect("nobody panics with it").clone().unwrap_or(right))
}

fn config(issuer: &str) -> ProviderConfig {
    let client = Client { id: "port-control".to_owned(), secret: "s".to_owned() };
    let mut provider = super::house::configured("dev", issuer, &client);
    provider.required_acr = vec!["mfa".to_owned()];
    provider.revalidate = true;
    provider
}

/// What `check` says of the provider, on a database that is there.
async fn checked(house: &House, provider: ProviderConfig) -> Result<Checked> {
    let mut config = (*house.app.config).clone();
    config.providers = vec![provider];
    let found = Box::pin(check(config)).await;
    found.into_iter().find(|it| it.dependency == "provider dev").context("it says nothing of the provider")
}

fn told(checked: &Checked) -> String {
    let line = |it: &port_control::broker::CheckFinding| {
        format!("{:?} {} | {}\n", it.level, it.message, it.remedy.clone().unwrap_or_default())
    };
    checked.findings.iter().map(line).collect()
}

async fn says_what_is_wrong(given: Given) -> Result<()> {
    let house = House::bare(&given, crate::web::house::Differently::default()).await?;
    let crooked = Crooked::start().await?;
    let right = checked(&house, config(&crooked.address)).await?;
    ensure!(right.works() && right.findings.len() == 1, "nothing is wrong: {}", told(&right));
    for (says, fails, what) in [
        (json!({ "issuer": "https://other.example" }), true, "it calls itself 'https://other.example'"),
        (json!({ "issuer": null }), true, "what it is called"),
        (json!({ "token_endpoint": null }), true, "token_endpoint: is missing"),
        (json!({ "jwks_uri": "http://10.0.0.1/jwks" }), true, "jwks_uri: it names an address"),
        (json!({ "jwks_uri": "https://169.254.169.254/jwks" }), true, "inside a private network"),
        (
            json!({ "id_token_signing_alg_values_supported": ["HS256", "none"] }),
            true,
            "none of which is believed",
        ),
        (json!({ "response_types_supported": ["id_token"] }), true, "authorization code flow"),
        (json!({ "grant_types_supported": ["authorization_code"] }), true, "revalidate = true"),
        (json!({ "code_challenge_methods_supported": ["plain"] }), false, "PKCE"),
        (json!({ "claims_supported": ["sub"] }), false, "does not list 'groups'"),
        (
            json!({ "scopes_supported": ["openid", "profile", "email", "offline_access"] }),
            false,
            "the scope 'groups'",
        ),
        (json!({ "acr_values_supported": ["pwd"] }), false, "class 'mfa'"),
        (json!({ "end_session_endpoint": null }), false, "no page to sign out"),
        (json!({ "backchannel_logout_supported": null }), false, "back-channel logout"),
    ] {
        *crooked.says.lock().expect("nobody panics with it") = says.clone();
        let found = checked(&house, config(&crooked.address)).await?;
        let line = found.findings.iter().find(|it| it.message.contains(what));
        ensure!(line.is_some_and(|it| it.remedy.is_some()), "{says}: {}", told(&found));
        ensure!(found.works() != fails, "{says}: {}", told(&found));
    }
    *crooked.says.lock().expect("nobody panics with it") = json!({});
    *crooked.keys.lock().expect("nobody panics with it") = Some(json!({ "keys": [] }));
    let found = checked(&house, config(&crooked.address)).await?;
    ensure!(!found.works() && told(&found).contains("publishes no key"), "{}", told(&found));
    *crooked.keys.lock().expect("nobody panics with it") = None;
    *crooked.date.lock().expect("nobody panics with it") = Some("Tue, 01 Jan 2030 00:00:00 GMT");
    let found = checked(&house, config(&crooked.address)).await?;
    ensure!(!found.works() && told(&found).contains("ahead of ours"), "{}", told(&found));
    Ok(())
}

async fn cannot_be_reached(given: Given) -> Result<()> {
    let house = House::bare(&given, crate::web::house::Differently::default()).await?;
    let nobody = checked(&house, config("http://127.0.0.1:1")).await?;
    ensure!(!nobody.works() && told(&nobody).contains("does not answer"), "{}", told(&nobody));
    let crooked = Crooked::start().await?;
    let elsewhere = checked(&house, config(&format!("{}/realms/none", crooked.address))).await?;
    ensure!(!elsewhere.works() && told(&elsewhere).contains("status 404"), "{}", told(&elsewhere));
    *crooked.says.lock().expect("nobody panics with it") =
        json!({ "jwks_uri": format!("{}/none", crooked.address) });
    let keys = checked(&house, config(&crooked.address)).await?;
    ensure!(!keys.works() && told(&keys).contains("its keys cannot be read"), "{}", told(&keys));
    Ok(())
}

async fn is_content(given: Given) -> Result<()> {
    let house = House::bare(&given, crate::web::house::Differently::default()).await?;
    let realm = given.peers.oidc_provider.as_ref().context("no provider")?.realm().await?;
    let client = realm.register("http://127.0.0.1:1/sign-in/dev/callback").await?;
    let mut provider = super::house::provider("dev", &realm, &client);
    provider.revalidate = true;
    provider.required_acr = vec!["mfa".to_owned()];
    let found = checked(&house, provider).await?;
    ensure!(found.works() && found.findings.len() == 1, "{}", told(&found));
    Ok(())
}
