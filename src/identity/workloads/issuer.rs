//! An issuer of workloads' tokens, and what it takes for one of its tokens to be believed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::review::{Reviewed, TokenReviews};
use crate::{
    base::{
        Ambient, Problem, ProblemKind, Result, SecretValue, Timestamp,
        config::{IssuerKind, WorkloadIssuerConfig},
    },
    identity::{
        jwt::{Disbelief, audiences, claims_of},
        published_keys::{NoKeys, PublishedKeys},
    },
};

/// Longest life of a token of a cluster that is not asked: what has been deleted there is believed until then.
const LONGEST_UNREVIEWED: Duration = Duration::from_mins(10);
/// Longest life of any other: a job's, which is good for as long as the job may take.
const LONGEST: Duration = Duration::from_hours(24);
/// How the name of a ServiceAccount begins.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// An issuer.
pub(super) struct Issuer {
    pub(super) config: WorkloadIssuerConfig,
    keys: PublishedKeys,
    reviews: Arc<dyn TokenReviews>,
    ambient: Ambient,
}

/// Whose token was brought.
#[derive(Debug)]
pub(super) struct Presented {
    pub(super) subject: String,
    /// What it says, as far as it can be pinned.
    pub(super) claims: BTreeMap<String, String>,
    pub(super) ends: Timestamp,
    /// What it is known again by, where it may be exchanged once: its own id, else what was signed.
    pub(super) once: Option<String>,
}

/// Why nobody is believed to have come.
#[derive(Debug)]
pub(super) enum Doubt {
    /// The token is not to be believed.
    Disbelieved(&'static str),
    /// Whether it is could not be found out.
    Unknown(Problem),
}

impl Issuer {
    pub(super) fn new(
        config: WorkloadIssuerConfig,
        reviews: Arc<dyn TokenReviews>,
        ambient: Ambient,
    ) -> Result<Self> {
        let keys = PublishedKeys::new(&config.issuer, ambient.clone())?;
        Ok(Self { config, keys, reviews, ambient })
    }

    /// Whether it publishes keys that can be used, or its cluster answers: for `check`.
    pub(super) async fn check(&self) -> Result<()> {
        match &self.config.cluster {
            // An empty token is nobody's; that it says so is all that is asked.
            Some(cluster) => {
                let nobody = SecretValue::from("nobody".to_owned());
                self.reviews.review(cluster, &nobody, &self.config.audience).await.map(drop)
            }
            None => self.keys.keys().await.map(drop).map_err(|why| self.unavailable(&why)),
        }
    }

    /// Whose `token` is.
    pub(super) async fn believe(&self, token: &SecretValue) -> Result<Presented, Doubt> {
        let text = token.expose_text().ok_or(Doubt::Disbelieved("it is no text"))?;
        if let Some(cluster) = &self.config.cluster {
            let asked = self.reviews.review(cluster, token, &self.config.audience).await;
            let reviewed = asked.map_err(Doubt::Unknown)?;
            let reviewed = reviewed.ok_or(Doubt::Disbelieved("its cluster does not take it for us"))?;
            return self.reviewed(text, reviewed);
        }
        let outcome = self.keys.verify(text, &self.config.audience).await;
        let verified = outcome.map_err(|why| Doubt::Unknown(self.unavailable(&why)))?;
        let verified = verified.map_err(|why| {
            Doubt::Disbelieved(match why {
                Disbelief::UnknownKey => "it is signed by a key that its issuer does not publish",
                Disbelief::Wrong(what) => what,
            })
        })?;
        let life = if self.config.kind == IssuerKind::Kubernetes { LONGEST_UNREVIEWED } else { LONGEST };
        let presented = self.presented(&verified.claims, verified.issued, verified.ends, life)?;
        Ok(Presented { once: self.once(text, &verified.claims), ..presented })
    }

    /// The claims of a token that its cluster has taken, held against what the cluster says.
    fn reviewed(&self, token: &str, by: Reviewed) -> Result<Presented, Doubt> {
        let claims = claims_of(token).ok_or(Doubt::Disbelieved("its claims cannot be read"))?;
        let time = |claim| {
            claims
                .get(claim)
                .and_then(Value::as_i64)
                .map(|it| Timestamp::from_millis(it.saturating_mul(1000)))
        };
        let (issued, ends) = (time("iat").unwrap_or(Timestamp::EPOCH), time("exp"));
        // However long it lives: what was deleted in the cluster is known there at once.
        let mut presented = self.presented(&claims, issued, ends, Duration::MAX)?;
        let (namespace, account) = by
            .username
            .strip_prefix(SERVICE_ACCOUNT)
            .and_then(|it| it.split_once(':'))
            .ok_or(Doubt::Disbelieved("it is not a ServiceAccount's"))?;
        presented.claims = service_account(namespace, account, &by.uid);
        presented.subject = by.username;
        Ok(presented)
    }

    fn presented(
        &self,
        claims: &Map<String, Value>,
        issued: Timestamp,
        ends: Option<Timestamp>,
        longest: Duration,
    ) -> Result<Presented, Doubt> {
        let wrong = |what| Err(Doubt::Disbelieved(what));
        let Some(ends) = ends else { return wrong("it never ends") };
        if ends <= self.ambient.now() {
            return wrong("it has expired");
        }
        if ends.since(issued) > longest {
            return wrong("it lives longer than is taken here");
        }
        // What is for somebody else, too, that one could bring here.
        if audiences(claims).count() != 1 {
            return wrong("it is for several audiences");
        }
        let Some(subject) = claims.get("sub").and_then(Value::as_str).filter(|it| !it.is_empty()) else {
            return wrong("it names no subject");
        };
        let said = if self.config.kind == IssuerKind::Kubernetes {
            of_cluster(claims).ok_or(Doubt::Disbelieved("it is not a ServiceAccount's"))?
        } else {
            claims.iter().filter_map(|(claim, it)| Some((claim.clone(), text_of(it)?))).collect()
        };
        Ok(Presented { subject: subject.to_owned(), once: None, claims: said, ends })
    }

    /// A token without an id is known again by what was signed: its signature could be written in other ways.
    fn once(&self, token: &str, claims: &Map<String, Value>) -> Option<String> {
        if !is_taken_once(self.config.kind) {
            return None;
        }
        let id = claims.get("jti").and_then(Value::as_str).filter(|it| !it.is_empty());
        let signed = || token.rsplit_once('.').map(|(signed, _)| signed.to_owned());
        id.map(ToOwned::to_owned).or_else(signed)
    }

    fn unavailable(&self, why: &NoKeys) -> Problem {
        Problem::new(
            ProblemKind::ProviderUnavailable,
            format!("the workload issuer {} cannot be used now: {why}", self.config.name),
        )
        .remedy("Try again in a moment; `port-control check` says whether it is reached.")
    }
}

/// Whether a job gets a new token whenever it asks for one. Where it has one for its whole life, as GitLab's
/// jobs and ServiceAccounts have, each of its commands exchanges that one.
const fn is_taken_once(kind: IssuerKind) -> bool {
    matches!(kind, IssuerKind::GitHub | IssuerKind::Oidc)
}

/// A claim as pins hold it; what is neither text nor number nor yes or no cannot be pinned.
fn text_of(said: &Value) -> Option<String> {
    match said {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        _ => None,
    }
}

/// The ServiceAccount of a token that a cluster signed.
fn of_cluster(claims: &Map<String, Value>) -> Option<BTreeMap<String, String>> {
    let said = claims.get("kubernetes.io")?;
    let account = said.get("serviceaccount")?;
    let text = |it: Option<&Value>| it.and_then(Value::as_str).map(ToOwned::to_owned);
    Some(service_account(
        &text(said.get("namespace"))?,
        &text(account.get("name"))?,
        &text(account.get("uid"))?,
    ))
}

fn service_account(namespace: &str, name: &str, uid: &str) -> BTreeMap<String, String> {
    [("namespace", namespace), ("service-account", name), ("uid", uid)]
        .map(|(claim, said)| (claim.to_owned(), said.to_owned()))
        .into()
}
