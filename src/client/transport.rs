//! Sending requests and reading answers.

use std::{sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder, Response, header, redirect};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{Confirming, ServerUrl, workloads::Job};
use crate::base::{Ambient, Problem, ProblemKind, Result, SecretValue};

/// How long until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a whole exchange may take: more than the server allows itself.
const EXCHANGE: Duration = Duration::from_secs(40);
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;
/// Waits before a POST whose outcome is unknown, or for which there was no place, is repeated with the
/// same key.
const AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// Most pages of a list that are fetched.
pub(super) const MOST_PAGES: usize = 1000;

/// A connection to one server, as one person or as nobody.
pub struct Client {
    http: reqwest::Client,
    server: ServerUrl,
    token: Option<SecretValue>,
    ambient: Ambient,
    confirming: Option<Arc<dyn Confirming>>,
    /// The job that calls, where it is one.
    pub(super) job: Option<Job>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.server)
    }
}

/// One page of a list.
#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    #[serde(default)]
    next: Option<String>,
}

impl Client {
    /// A client of `server`. A TLS provider has to be installed already.
    ///
    /// # Errors
    /// `internal` where the machine's TLS roots cannot be read.
    pub fn new(server: ServerUrl, token: Option<SecretValue>, ambient: Ambient) -> Result<Self> {
        Self::with_time_limit(server, token, ambient, EXCHANGE)
    }

    /// A client whose exchanges take no longer than `limit`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_time_limit(
        server: ServerUrl,
        token: Option<SecretValue>,
        ambient: Ambient,
        limit: Duration,
    ) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT.min(limit))
            .timeout(limit)
            // A token goes where the user said and nowhere else.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("portctl/", env!("CARGO_PKG_VERSION")));
        if server.is_plain() {
            // On this machine: past proxies, and without reading roots that are of no use.
            builder = builder.no_proxy().tls_certs_only([]);
        } else {
            builder = builder.https_only(true);
        }
        let http = builder.build().map_err(|e| Problem::internal(format!("preparing TLS: {e}")))?;
        Ok(Self { http, server, token, ambient, confirming: None, job: None })
    }

    /// The same, for somebody who can confirm who she is where the server wants that.
    #[must_use]
    pub fn confirming(self, confirming: Arc<dyn Confirming>) -> Self {
        Self { confirming: Some(confirming), ..self }
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Chance and time of this client.
    pub(super) fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T> {
        self.read(self.send(self.request(Method::GET, path, query)).await?).await
    }

    /// All pages of a list.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut query = query.to_vec();
            query.extend(next.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.get(path, &query).await?;
            all.extend(page.items);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(all)
    }

    pub(super) async fn delete(&self, path: &[&str]) -> Result<()> {
        self.read::<serde::de::IgnoredAny>(self.send(self.request(Method::DELETE, path, &[])).await?).await?;
        Ok(())
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T> {
        let body =
            serde_json::to_vec(body).map_err(|e| Problem::internal(format!("writing a request: {e}")))?;
        self.post_bytes(self.server.endpoint(path, &[]), Zeroizing::new(body)).await
    }

    /// Posts to an address below `/audit`.
    pub(super) async fn post_audit<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T> {
        let body =
            serde_json::to_vec(body).map_err(|e| Problem::internal(format!("writing a request: {e}")))?;
        self.post_bytes(self.server.audit(path, &[]), Zeroizing::new(body)).await
    }

    /// Posts under one Idempotency-Key: where it is not known whether it happened, it is repeated with
    /// the same key and answered from what the server finds.
    async fn post_bytes<T: DeserializeOwned>(&self, url: url::Url, body: Zeroizing<Vec<u8>>) -> Result<T> {
        let key = self.ambient.uuid().to_string();
        let mut waits = AGAIN.iter();
        loop {
            match self.post_once(url.clone(), &body, &key).await {
                Err(problem) if may_be_repeated(&problem) => match waits.next() {
                    Some(wait) => tokio::time::sleep(*wait).await,
                    None => return Err(problem),
                },
                answer => return answer,
            }
        }
    }

    async fn post_once<T: DeserializeOwned>(&self, url: url::Url, body: &[u8], key: &str) -> Result<T> {
        let request = self
            .request_to(Method::POST, url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", key)
            .body(body.to_vec());
        self.read(self.send(request).await?).await
    }

    pub(super) fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        self.request_to(method, self.server.endpoint(path, query))
    }

    /// A request for an address of this server.
    pub(super) fn request_to(&self, method: Method, url: url::Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match self.token.as_ref().and_then(SecretValue::expose_text) {
            // reqwest marks the header as sensitive.
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends, and answers anything but success as a problem. Where a stronger or newer sign-in is wanted, and
    /// somebody is here who can confirm, it is sent once more after that.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let again = request.try_clone();
        let outcome = self.send_once(request).await;
        let (Some(again), Some(confirming)) = (again, &self.confirming) else { return outcome };
        match outcome {
            Err(problem) if problem.is(ProblemKind::InsufficientAuthentication) => {
                confirming.confirm(self, &problem).await?;
                self.send_once(again).await
            }
            outcome => outcome,
        }
    }

    async fn send_once(&self, request: RequestBuilder) -> Result<Response> {
        let request = self.signed_in(request).await?;
        let response = request.send().await.map_err(|e| self.unavailable(e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status.is_redirection() {
            return Err(self
                .nonsense(&format!("answered with a redirect ({status}), which is not followed"))
                .remedy(
                    "Name the server by the address that it says itself: --server URL or PORTCTL_SERVER.",
                ));
        }
        let body = self.bytes(response).await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(problem),
            Err(_) => Err(self.nonsense(&format!("answered {status} and did not say why"))),
        }
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T> {
        let body = self.bytes(response).await?;
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        // What serde says may hold a piece of the answer, so it is left out.
        serde_json::from_slice(body)
            .map_err(|_| self.nonsense("answered something that this version of portctl does not understand"))
    }

    pub(super) async fn bytes(&self, mut response: Response) -> Result<Zeroizing<Vec<u8>>> {
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unavailable(e))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(self.nonsense("answered more than 64 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(super) fn unavailable(&self, error: reqwest::Error) -> Problem {
        let why = if error.is_timeout() {
            "did not answer in time".to_owned()
        } else {
            format!("cannot be reached: {}", innermost(&error.without_url()))
        };
        Problem::new(ProblemKind::ServerUnavailable, format!("the server {} {why}", self.server)).remedy(
            "See that it runs and that the address is right: --server URL, PORTCTL_SERVER or portctl.toml.",
        )
    }

    pub(super) fn nonsense(&self, what: &str) -> Problem {
        Problem::new(ProblemKind::ServerUnavailable, format!("the server {} {what}", self.server)).remedy(
            "See that the address is that of Port Control, and compare versions with `portctl version`.",
        )
    }
}

fn may_be_repeated(problem: &Problem) -> bool {
    problem.is(ProblemKind::OutcomeUnknown) || problem.is(ProblemKind::Overloaded)
}

/// The cause that says most.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
