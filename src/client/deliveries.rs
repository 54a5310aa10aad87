//! What should be in which Kubernetes Secret.

use serde::{Deserialize, Serialize};

use super::Client;
use crate::base::Result;

/// A delivery and its state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// Its name.
    pub name: String,
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// Whose copy.
    #[serde(default)]
    pub team: Option<String>,
    /// The cluster.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
    /// The Kubernetes Secret.
    pub secret: String,
    /// How it stands.
    pub state: String,
    /// More on that.
    #[serde(default)]
    pub detail: Option<String>,
    /// Counts what was written.
    #[serde(default)]
    pub generation: Option<i64>,
    /// When it was last written.
    #[serde(default)]
    pub delivered_at: Option<String>,
    /// Until when it is paused.
    #[serde(default)]
    pub paused_until: Option<String>,
}

/// Deliveries, by name.
#[derive(Clone, Debug, Deserialize)]
pub struct Deliveries {
    /// Those that the caller may see.
    pub items: Vec<Delivery>,
    /// Why none is listed although there are some.
    #[serde(default)]
    pub notice: Option<String>,
}

#[derive(Serialize)]
struct Pause<'a> {
    r#for: &'a str,
    reason: &'a str,
}

impl Client {
    /// The deliveries that the caller may see.
    ///
    /// # Errors
    /// `unauthenticated`, `server-unavailable`.
    pub async fn deliveries(&self) -> Result<Deliveries> {
        self.get(&["deliveries"], &[]).await
    }

    /// Leaves the Secret alone for a while, such as `1h`.
    ///
    /// # Errors
    /// `denied`, `not-found`, `invalid-request`.
    pub async fn pause_delivery(&self, name: &str, length: &str, reason: &str) -> Result<()> {
        let body = Pause { r#for: length, reason };
        self.post::<serde::de::IgnoredAny>(&["deliveries", name, "pause"], &body).await?;
        Ok(())
    }

    /// Delivers again.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn resume_delivery(&self, name: &str) -> Result<()> {
        let body = serde_json::json!({});
        self.post::<serde::de::IgnoredAny>(&["deliveries", name, "resume"], &body).await?;
        Ok(())
    }
}
