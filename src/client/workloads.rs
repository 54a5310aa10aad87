//! Signing in as a workload: the token of a CI job or a pod is exchanged for a short one (RFC 8693), which
//! lives as long as this process and is written nowhere.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, redirect};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::{Client, HeldScope, WhoAmI};
use crate::base::{Problem, ProblemKind, Result, SecretValue};

/// How long a CI system may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest answer of a CI system that is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// The way to a job's own token.
#[derive(Debug)]
pub enum JobToken {
    /// It is asked for at the CI system, for our server alone, as GitHub's jobs do.
    Asked {
        /// Where.
        url: Url,
        /// By what.
        by: SecretValue,
    },
    /// It was handed to the job.
    Given(SecretValue),
}

/// A job that signs in when it first sends something.
#[derive(Debug)]
pub(super) struct Job {
    token: JobToken,
    workload: Option<String>,
    signed_in: OnceCell<SecretValue>,
}

/// Who calls: a person, or a workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Somebody {
    /// A workload.
    Workload(WorkloadAmI),
    /// A person.
    Person(Box<WhoAmI>),
}

/// Which workload the caller is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkloadAmI {
    /// Its name.
    pub workload: String,
    /// Who issued its own token.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
    /// When its token here ends.
    pub ends_at: String,
    /// The one trust scope that its token is good for.
    #[serde(default)]
    pub scope: Option<String>,
    /// The trust scopes that name it.
    #[serde(default)]
    pub scopes: Vec<HeldScope>,
    /// Whom to ask.
    #[serde(default)]
    pub contact: Option<String>,
}

#[derive(Deserialize)]
struct JobAnswer {
    value: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Exchanged {
    access_token: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Client {
    /// The same client, signing in as the workload that `token` is of when it first sends something.
    #[must_use]
    pub fn as_job(mut self, token: JobToken, workload: Option<String>) -> Self {
        self.job = Some(Job { token, workload, signed_in: OnceCell::new() });
        self
    }

    /// Who the caller is, person or workload.
    ///
    /// # Errors
    /// `unauthenticated`, `server-unavailable`.
    pub async fn who_is_calling(&self) -> Result<Somebody> {
        self.get(&["whoami"], &[]).await
    }

    /// Adds the token of the job, where it is one that calls.
    pub(super) async fn signed_in(&self, request: RequestBuilder) -> Result<RequestBuilder> {
        let Some(job) = &self.job else { return Ok(request) };
        let token = job.signed_in.get_or_try_init(|| self.exchange(job)).await?;
        Ok(request.bearer_auth(token.expose_text().unwrap_or_default()))
    }

    async fn exchange(&self, job: &Job) -> Result<SecretValue> {
        let own = match &job.token {
            JobToken::Given(token) => token.clone(),
            JobToken::Asked { url, by } => ask(url, by, self.server().as_text()).await?,
        };
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("subject_token", own.expose_text().unwrap_or_default()),
        ];
        form.extend(job.workload.as_deref().map(|name| ("workload", name)));
        let request = self.request(Method::POST, &["token"], &[]).form(&form);
        let response = request.send().await.map_err(|error| self.unavailable(error))?;
        let status = response.status();
        let body = self.bytes(response).await?;
        if status.is_success() {
            let exchanged: Exchanged = serde_json::from_slice(&body)
                .map_err(|_| self.nonsense("answered no token that this version of portctl understands"))?;
            return Ok(SecretValue::from(exchanged.access_token.to_string()));
        }
        match serde_json::from_slice::<Refused>(&body) {
            Ok(refused) => Err(of_refusal(&refused)),
            Err(_) => Err(self.nonsense(&format!("answered {status} and did not say why"))),
        }
    }
}

fn of_refusal(refused: &Refused) -> Problem {
    let kind = match refused.error.as_str() {
        "temporarily_unavailable" | "server_error" => ProblemKind::ServerUnavailable,
        _ => ProblemKind::SignInRefused,
    };
    Problem::new(kind, format!("this job is not let in: {}", refused.error_description))
        .remedy("Compare the job with the workload that files declare; docs/workloads.md has examples.")
}

/// Asks a CI system for the job's token, for the audience of our server alone.
async fn ask(url: &Url, by: &SecretValue, audience: &str) -> Result<SecretValue> {
    let unusable = |what: &str| {
        Problem::new(ProblemKind::SignInRefused, format!("the CI system gave no token for this job: {what}"))
            .remedy("Give the job the right to ask for one; at GitHub `permissions: id-token: write`.")
    };
    if url.scheme() != "https" && !is_loopback(url) {
        return Err(unusable("its address is not https"));
    }
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("audience", audience);
    let mut client = reqwest::Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none());
    if is_loopback(&url) {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| Problem::internal(format!("preparing TLS: {error}")))?;
    let request = client.get(url).bearer_auth(by.expose_text().unwrap_or_default());
    let mut response = request.send().await.map_err(|_| unusable("it does not answer"))?;
    if !response.status().is_success() {
        return Err(unusable(&format!("it answers {}", response.status())));
    }
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|_| unusable("it broke off"))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(unusable("its answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    let answer: JobAnswer = serde_json::from_slice(&body).map_err(|_| unusable("its answer holds none"))?;
    Ok(SecretValue::from(answer.value.to_string()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
