//! Asking a cluster whose token it is: the room that talks to clusters does that.

use async_trait::async_trait;

use crate::base::{Name, Problem, ProblemKind, Result, SecretValue};

/// Whom a cluster takes the holder of a token for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// `system:serviceaccount:NAMESPACE:NAME`, where it is a ServiceAccount's.
    pub username: String,
    /// The id of that ServiceAccount: one of the same name that was made anew has another.
    pub uid: String,
}

/// Asks a cluster for a TokenReview with our audience.
#[async_trait]
pub trait TokenReviews: Send + Sync {
    /// Whose `token` is; nothing where the cluster does not take it, or not for `audience`.
    ///
    /// # Errors
    /// `cluster-unavailable` where it could not be asked.
    async fn review(&self, cluster: &Name, token: &SecretValue, audience: &str) -> Result<Option<Reviewed>>;
}

/// Where there is no cluster to ask.
pub(in crate::identity) struct NoClusters;

#[async_trait]
impl TokenReviews for NoClusters {
    async fn review(&self, cluster: &Name, _: &SecretValue, _: &str) -> Result<Option<Reviewed>> {
        Err(Problem::new(
            ProblemKind::ClusterUnavailable,
            format!("nothing here reaches the cluster '{cluster}'"),
        ))
    }
}
