//! An issuer of tokens of CI jobs, as GitHub's is: a discovery document, one key, and the endpoint at which a
//! job asks for its token.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use data_encoding::BASE64URL_NOPAD;
use port_control::base::Ambient;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::Deserialize;
use serde_json::{Value, json};

/// What a job sends to ask for its token.
pub const REQUEST_TOKEN: &str = "a-job-of-ours";

/// The issuer. Cheap to clone.
#[derive(Clone)]
pub struct JobIssuer(Arc<Issuer>);

struct Issuer {
    url: String,
    ambient: Ambient,
}

#[derive(Deserialize)]
struct Asked {
    audience: String,
}

impl JobIssuer {
    /// One that will be served at `url`.
    pub fn new(url: String, ambient: Ambient) -> Self {
        Self(Arc::new(Issuer { url, ambient }))
    }

    /// Its issuer identifier.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// What it serves.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", get(token))
            .with_state(self.clone())
    }

    /// The token of a job on the main branch of `supa/reports` for `audience`, but for `lies`.
    pub fn token(&self, audience: &str, lies: &Value) -> String {
        let now = self.0.ambient.now().as_millis() / 1000;
        let mut claims = json!({
            "iss": self.url(), "aud": audience, "sub": "repo:supa@11/reports@22:ref:refs/heads/main",
            "iat": now, "nbf": now, "exp": now + 300, "jti": self.0.ambient.uuid().to_string(),
            "repository": "supa/reports", "repository_id": "22", "repository_owner": "supa",
            "repository_owner_id": "11", "event_name": "push", "ref": "refs/heads/main",
        });
        for (claim, said) in lies.as_object().into_iter().flatten() {
            claims[claim] = said.clone();
        }
        let header = json!({ "alg": "EdDSA", "kid": "ci-1", "typ": "JWT" });
        let [header, claims] =
            [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
        let text = format!("{header}.{claims}");
        let signature = BASE64URL_NOPAD.encode(key().sign(text.as_bytes()).as_ref());
        format!("{text}.{signature}")
    }
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[5; 32]).expect("32 bytes are a seed")
}

async fn discovery(State(issuer): State<JobIssuer>) -> Json<Value> {
    Json(json!({ "issuer": issuer.url(), "jwks_uri": format!("{}/jwks", issuer.url()) }))
}

async fn jwks() -> Json<Value> {
    let x = BASE64URL_NOPAD.encode(key().public_key().as_ref());
    Json(json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": "ci-1", "x": x }] }))
}

async fn token(
    State(issuer): State<JobIssuer>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, StatusCode> {
    let by = headers.get("authorization").and_then(|it| it.to_str().ok());
    if by != Some(&format!("Bearer {REQUEST_TOKEN}")) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    Ok(Json(json!({ "count": 1, "value": issuer.token(&asked.audience, &json!({})) })))
}
