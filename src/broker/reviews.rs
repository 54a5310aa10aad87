//! Asks a cluster whose ServiceAccount a token is of (TokenReview), by the access that deliveries have, too.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::{Api, api::PostParams};

use super::{
    kubernetes::{Kubernetes, PATIENCE, plain},
    target::TargetError,
};
use crate::{
    base::{Name, Problem, ProblemKind, Result, SecretValue, config::Access},
    identity::{Reviewed, TokenReviews},
};

/// Asks the clusters of a configuration.
pub struct Reviewers(BTreeMap<Name, Kubernetes>);

impl Reviewers {
    /// Connects when first asked.
    #[must_use]
    pub fn new(clusters: &BTreeMap<Name, Access>) -> Self {
        let real = clusters.iter().filter(|(_, access)| !matches!(access, Access::Directory(_)));
        Self(real.map(|(name, access)| (name.clone(), Kubernetes::new(access.clone()))).collect())
    }
}

#[async_trait]
impl TokenReviews for Reviewers {
    async fn review(&self, cluster: &Name, token: &SecretValue, audience: &str) -> Result<Option<Reviewed>> {
        let unavailable = |why: &dyn fmt::Display| {
            Problem::new(
                ProblemKind::ClusterUnavailable,
                format!("the cluster '{cluster}' does not say whose token it is: {why}"),
            )
            .remedy("Try again in a moment; `port-control check` says whether it is reached.")
        };
        let known = self.0.get(cluster).ok_or_else(|| unavailable(&"it is not in the configuration"))?;
        let client = known.client().await.map_err(|error| unavailable(&error))?;
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.expose_text().map(ToOwned::to_owned),
                audiences: Some(vec![audience.to_owned()]),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(client);
        let options = PostParams::default();
        let answer = tokio::time::timeout(PATIENCE, reviews.create(&options, &review)).await;
        let late = || TargetError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()));
        let answer = answer.map_err(|_| unavailable(&late()))?.map_err(|error| unavailable(&said(&error)))?;
        Ok(answer.status.and_then(|status| reviewed(status, audience)))
    }
}

/// Whom it is of, where it is to be believed: authenticated, and for us.
fn reviewed(
    status: k8s_openapi::api::authentication::v1::TokenReviewStatus,
    audience: &str,
) -> Option<Reviewed> {
    let is_for_us = status.audiences.unwrap_or_default().iter().any(|it| it == audience);
    let user = status.user.filter(|_| status.authenticated == Some(true) && is_for_us)?;
    Some(Reviewed { username: user.username?, uid: user.uid? })
}

fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            "it does not let us ask; bind the ClusterRole system:auth-delegator to our account".to_owned()
        }
        kube::Error::Api(status) => format!("it answers {}", status.code),
        other => plain(other),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};

    use super::*;

    fn status(authenticated: Option<bool>, audiences: Option<Vec<&str>>) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated,
            audiences: audiences.map(|all| all.into_iter().map(ToOwned::to_owned).collect()),
            error: None,
            user: Some(UserInfo {
                username: Some("system:serviceaccount:apps:reports".to_owned()),
                uid: Some("u-1".to_owned()),
                ..UserInfo::default()
            }),
        }
    }

    #[test]
    fn abuse_26_a_review_that_does_not_name_our_audience_is_nobodys() {
        let ours = "https://pc.example.com";
        assert!(reviewed(status(Some(true), Some(vec![ours])), ours).is_some());
        // An API server that knows no audiences takes any token of its own.
        assert!(reviewed(status(Some(true), None), ours).is_none());
        assert!(reviewed(status(Some(true), Some(vec!["https://other.example.com"])), ours).is_none());
        assert!(reviewed(status(Some(false), Some(vec![ours])), ours).is_none());
        assert!(reviewed(status(None, Some(vec![ours])), ours).is_none());
    }
}
