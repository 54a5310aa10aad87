//! The HTTP client that talks to identity providers: bounded in time and size, follows no redirects,
//! and speaks to nobody in clear text but to loopback, where the provider itself is there.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::StreamExt as _;
use http::HeaderMap;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use serde_json::Value;
use url::{Host, Url};

use super::inside::{Depth, Guarded, depth, literal};
use crate::base::{Problem, Result};

/// Largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// How long an answer may take in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long connecting may take.
const PATIENCE_TO_CONNECT: Duration = Duration::from_secs(2);

/// A client for one provider.
#[derive(Clone, Debug)]
pub(in crate::identity) struct BoundedClient {
    client: reqwest::Client,
    loopback: bool,
    issuer: Url,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::identity) enum NoAnswer {
    /// Nobody answered, or not in time.
    #[error("it does not answer")]
    Unreachable,
    /// The answer was larger than is read.
    #[error("its answer is larger than {LARGEST_ANSWER} bytes")]
    TooLarge,
    /// The address may not be called.
    #[error("it names an address that is neither https nor allowed: {0}")]
    Forbidden(String),
    /// The address lies where a provider outside must not lead.
    #[error("it names an address inside a private network or on this machine: {0}")]
    Inside(String),
}

impl BoundedClient {
    /// A client for the provider at `issuer`.
    pub(in crate::identity) fn new(issuer: &Url) -> Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE_TO_CONNECT)
            .dns_resolver(Arc::new(Guarded { own: issuer.host_str().unwrap_or_default().to_owned() }))
            .build()
            .map_err(|error| Problem::internal(format!("no HTTP client can be made: {error}")))?;
        Ok(Self { client, loopback: is_loopback(issuer), issuer: issuer.clone() })
    }

    /// Whether `url` may be called, or a browser be sent there.
    pub(in crate::identity) fn may_call(&self, url: &Url) -> Result<(), NoAnswer> {
        let host = || url.host_str().unwrap_or("no host").to_owned();
        if self.loopback && url.scheme() == "http" && is_loopback(url) {
            return Ok(());
        }
        if url.scheme() != "https" {
            return Err(NoAnswer::Forbidden(host()));
        }
        if self.leads_inside(url) { Err(NoAnswer::Inside(host())) } else { Ok(()) }
    }

    /// Whether an address, written as one, lies further inside than the provider itself. Names are looked at
    /// when they are resolved.
    fn leads_inside(&self, url: &Url) -> bool {
        if url.host() == self.issuer.host() {
            return false;
        }
        let own = literal(&self.issuer).map_or(Depth::Outside, depth);
        let is_here = matches!(url.host(), Some(Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost"));
        is_here || literal(url).is_some_and(|address| depth(address) > own.min(Depth::Inside))
    }

    /// A JSON document, with the headers that came with it. What is no JSON is `None`.
    pub(in crate::identity) async fn json(
        &self,
        url: &Url,
    ) -> Result<(HeaderMap, u16, Option<Value>), NoAnswer> {
        self.may_call(url)?;
        let answer = self.client.get(url.clone()).header(http::header::ACCEPT, "application/json");
        let answer = answer.send().await.map_err(|_| NoAnswer::Unreachable)?;
        let (headers, status) = (answer.headers().clone(), answer.status().as_u16());
        let body = bounded(answer).await?;
        Ok((headers, status, serde_json::from_slice(&body).ok()))
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
        let url = request.uri().to_string().parse::<Url>().map_err(|_| NoAnswer::Forbidden(String::new()))?;
        self.may_call(&url)?;
        let request = reqwest::Request::try_from(request).map_err(|_| NoAnswer::Forbidden(String::new()))?;
        let answer = self.client.execute(request).await.map_err(|_| NoAnswer::Unreachable)?;
        let mut kept = http::Response::builder().status(answer.status());
        if let Some(content_type) = answer.headers().get(http::header::CONTENT_TYPE) {
            kept = kept.header(http::header::CONTENT_TYPE, content_type);
        }
        kept.body(bounded(answer).await?).map_err(|_| NoAnswer::Unreachable)
    }
}

async fn bounded(answer: reqwest::Response) -> Result<Vec<u8>, NoAnswer> {
    let mut body = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| NoAnswer::Unreachable)?;
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(NoAnswer::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl<'c> AsyncHttpClient<'c> for BoundedClient {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoAnswer>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(issuer: &str, url: &str) -> bool {
        let _ = rustls::crypto::ring::default_provider().install_default();
        BoundedClient::new(&issuer.parse().unwrap()).unwrap().may_call(&url.parse().unwrap()).is_ok()
    }

    #[test]
    fn abuse_20_a_provider_outside_leads_nowhere_inside() {
        let outside = "https://id.example.com";
        for url in ["https://keys.example.net/jwks", "https://192.0.2.7/jwks"] {
            assert!(may(outside, url), "{url}");
        }
        for url in [
            "http://id.example.com/jwks",
            "https://127.0.0.1/jwks",
            "https://localhost/jwks",
            "https://10.0.0.1/jwks",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/jwks",
            "https://[::ffff:10.0.0.1]/jwks",
            "file:///etc/passwd",
            "ftp://id.example.com/jwks",
        ] {
            assert!(!may(outside, url), "{url}");
        }
        // Inside, it leads inside, and never to this machine.
        assert!(
            may("https://10.0.0.1", "https://10.0.0.1/jwks")
                && may("https://10.0.0.1", "https://10.0.0.2/jwks")
        );
        assert!(!may("https://10.0.0.1", "https://127.0.0.1/jwks"));
        assert!(!may("https://10.0.0.1", "https://169.254.169.254/"));
    }
}
