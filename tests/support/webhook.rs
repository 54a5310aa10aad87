//! A receiver of webhooks on loopback, which checks signatures as Standard Webhooks says.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::{Router, http::HeaderMap, routing::post};
use data_encoding::BASE64;
use ring::hmac;
use serde_json::Value;

/// What was received, signed as it should be.
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    /// What it shares with the sender, as both are configured: `whsec_…`.
    pub secret: String,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub async fn start() -> Result<Self> {
        let key = [42; 32];
        let taken = Arc::<Mutex<Vec<Value>>>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let kept = Arc::clone(&taken);
        let take = async move |headers: HeaderMap, body: String| {
            let is_signed = is_signed(&key, &headers, &body);
            if let (true, Ok(message)) = (is_signed, serde_json::from_str(&body)) {
                kept.lock().expect("nobody panics with it").push(message);
                return axum::http::StatusCode::NO_CONTENT;
            }
            axum::http::StatusCode::UNAUTHORIZED
        };
        let router = Router::new().route("/hook", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, secret: format!("whsec_{}", BASE64.encode(&key)), taken })
    }

    /// Whether a message that holds this text was received.
    pub fn has(&self, text: &str) -> bool {
        self.taken.lock().expect("nobody panics with it").iter().any(|it| it.to_string().contains(text))
    }
}

fn is_signed(key: &[u8], headers: &HeaderMap, body: &str) -> bool {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
    let signatures = header("webhook-signature").split(' ').filter_map(|it| it.strip_prefix("v1,"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    signatures
        .filter_map(|it| BASE64.decode(it.as_bytes()).ok())
        .any(|it| hmac::verify(&key, signed.as_bytes(), &it).is_ok())
}
