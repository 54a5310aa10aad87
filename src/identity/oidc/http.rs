//! The HTTP client that talks to identity providers: bounded in time and size, follows no redirects,
//! and speaks to nobody in clear text but to loopback, where the provider itself is there.

use std::{future::Future, pin::Pin, time::Duration};

use futures::StreamExt as _;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use url::{Host, Url};

use crate::base::{Problem, Result};

/// Largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// How long an answer may take in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long connecting may take.
const PATIENCE_TO_CONNECT: Duration = Duration::from_secs(2);

/// A client for one provider.
#[derive(Clone, Debug)]
pub(super) struct BoundedClient {
    client: reqwest::Client,
    loopback: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Nobody answered, or not in time.
    #[error("it does not answer")]
    Unreachable,
    /// The answer was larger than is read.
    #[error("its answer is larger than {LARGEST_ANSWER} bytes")]
    TooLarge,
    /// The address may not be called.
    #[error("it names an address that is neither https nor allowed: {0}")]
    Forbidden(String),
}

impl BoundedClient {
    /// A client for the provider at `issuer`.
    pub(super) fn new(issuer: &Url) -> Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE_TO_CONNECT)
            .build()
            .map_err(|error| Problem::internal(format!("no HTTP client can be made: {error}")))?;
        Ok(Self { client, loopback: is_loopback(issuer) })
    }

    /// Whether `url` may be called, or a browser be sent there.
    pub(super) fn may_call(&self, url: &Url) -> Result<(), NoAnswer> {
        if url.scheme() == "https" || (self.loopback && url.scheme() == "http" && is_loopback(url)) {
            return Ok(());
        }
        Err(NoAnswer::Forbidden(url.host_str().unwrap_or("no host").to_owned()))
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
        let mut body = Vec::new();
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| NoAnswer::Unreachable)?;
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(NoAnswer::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        kept.body(body).map_err(|_| NoAnswer::Unreachable)
    }
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
