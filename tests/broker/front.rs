//! Something between us and the API server that hears every request and can answer in its place.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::peers::Kubernetes;

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The API server answers.
    Pass,
    /// Every answer is this.
    Say(u16, &'static str),
    /// The API server does it, and the answer to what changes something is lost.
    Lose,
    /// Watches end in 410, once each; everything else passes.
    Expire,
}

/// It, as a cluster's address.
pub struct Front {
    /// The cluster as it is reached through this.
    pub cluster: Kubernetes,
    it: Arc<It>,
}

struct It {
    upstream: Kubernetes,
    act: Mutex<Act>,
    heard: Mutex<Vec<String>>,
    watches: Mutex<CancellationToken>,
}

/// What a watch that is too old is told.
const EXPIRED: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#;

impl Front {
    pub async fn open(upstream: &Kubernetes) -> Result<Self> {
        let it = Arc::new(It {
            upstream: upstream.clone(),
            act: Mutex::new(Act::Pass),
            heard: Mutex::default(),
            watches: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let mut cluster = upstream.clone();
        cluster.url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(answer).with_state(Arc::clone(&it));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { cluster, it })
    }

    pub fn act(&self, act: Act) {
        *self.it.act.lock().unwrap_or_else(PoisonError::into_inner) = act;
    }

    /// Breaks off every watch there is.
    pub fn end_watches(&self) {
        let mut token = self.it.watches.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *token).cancel();
    }

    /// `METHOD /path?query` of every request so far.
    pub fn heard(&self) -> Vec<String> {
        self.it.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests of this method have really been made on Secrets: no dry runs.
    pub fn count(&self, method: &str) -> usize {
        let real = |it: &&String| it.starts_with(method) && it.contains("/secrets") && !it.contains("dryRun");
        self.heard().iter().filter(real).count()
    }
}

async fn answer(State(it): State<Arc<It>>, request: Request) -> Response {
    let asked = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let method = request.method().clone();
    let is_watch = asked.contains("watch=true");
    it.heard.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {asked}"));
    let act = *it.act.lock().unwrap_or_else(PoisonError::into_inner);
    match act {
        Act::Say(status, text) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
            return (status, text).into_response();
        }
        Act::Expire if is_watch => return format!("{EXPIRED}\n").into_response(),
        _ => {}
    }
    let until = it.watches.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Ok(passed) = pass(&it.upstream, request, &asked).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if act == Act::Lose && method != Method::GET && !asked.contains("dryRun") {
        let _ = passed.bytes().await;
        let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("lost"))]);
        return Body::from_stream(broken).into_response();
    }
    let (status, kind) = (passed.status(), passed.headers().get(header::CONTENT_TYPE).cloned());
    let body = Body::from_stream(passed.bytes_stream().take_until(until.cancelled_owned()));
    let mut response = (status, body).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

async fn pass(upstream: &Kubernetes, request: Request, asked: &str) -> Result<reqwest::Response> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 8 << 20).await?;
    let token = parts.headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let token = token.trim_start_matches("Bearer ");
    let mut passed = upstream.request(parts.method, asked.trim_start_matches('/'), token);
    for name in [header::ACCEPT, header::CONTENT_TYPE] {
        if let Some(value) = parts.headers.get(&name) {
            passed = passed.header(name, value);
        }
    }
    Ok(passed.body(body).send().await?)
}
