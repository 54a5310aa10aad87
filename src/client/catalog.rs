//! What files declare.

use serde::{Deserialize, Serialize};

use super::Client;
use crate::{
    base::Result,
    catalog::{Change, DocumentSet, Plan},
};

/// A set of files, and what has to hold for it to be applied.
#[derive(Clone, Debug, Serialize)]
pub struct Apply<'a> {
    /// The files.
    #[serde(flatten)]
    pub set: &'a DocumentSet,
    /// Whether what is no longer declared may be removed.
    pub allow_delete: bool,
    /// The version that the plan was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_version: Option<i64>,
    /// The digest of the plan that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_digest: Option<&'a str>,
}

/// What applying came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Applied {
    /// The version of what is declared now.
    pub version: i64,
    /// What changed.
    pub changes: Vec<Change>,
}

/// An application.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// The team that owns it.
    pub team: String,
    /// Its environments.
    pub environments: Vec<ApplicationEnvironment>,
}

/// An environment of an application.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApplicationEnvironment {
    /// Its name.
    pub name: String,
    /// Whether it is protected.
    #[serde(default)]
    pub protected: bool,
    /// The teams that have a copy each.
    #[serde(default)]
    pub copies: Vec<String>,
}

impl Client {
    /// What a set of files would change.
    ///
    /// # Errors
    /// `invalid-declaration`, `denied`, `server-unavailable`.
    pub async fn plan(&self, set: &DocumentSet) -> Result<Plan> {
        self.post(&["plan"], set).await
    }

    /// Applies a set of files.
    ///
    /// # Errors
    /// `invalid-declaration`, `plan-is-stale`, `conflict`, `denied`, `server-unavailable`.
    pub async fn apply(&self, apply: &Apply<'_>) -> Result<Applied> {
        self.post(&["apply"], apply).await
    }

    /// The applications that the caller may see.
    ///
    /// # Errors
    /// `unauthenticated`, `server-unavailable`.
    pub async fn applications(&self) -> Result<Vec<Application>> {
        self.list(&["applications"], &[]).await
    }
}
