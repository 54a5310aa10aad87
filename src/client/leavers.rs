//! Who left, and what is still to be taken back.

use serde::{Deserialize, Serialize};

use super::{Client, PersonLine};
use crate::base::Result;

/// How much is left.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Left {
    /// Sessions.
    #[serde(default)]
    pub sessions: i64,
    /// Pending requests.
    #[serde(default)]
    pub requests: i64,
    /// Live grants.
    #[serde(default)]
    pub grants: i64,
    /// Leases that the engine has not taken back yet.
    #[serde(default)]
    pub leases: i64,
    /// Open rotation tasks.
    #[serde(default)]
    pub rotation_tasks: i64,
}

/// A leaver in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaverLine {
    /// Who.
    pub person: PersonLine,
    /// Since when.
    pub since: String,
    /// When nothing was left.
    #[serde(default)]
    pub closed_at: Option<String>,
    /// What is left.
    pub left: Left,
}

/// A step that was taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: String,
    /// What.
    pub action: String,
    /// By whom.
    #[serde(default)]
    pub actor: Option<String>,
    /// To what.
    #[serde(default)]
    pub resource: Option<String>,
}

/// Work that is open while a value that a leaver knows is still good for something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotationTask {
    /// Its id.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// `open` or `closed`.
    pub state: String,
    /// Since when.
    pub opened_at: String,
    /// When it was closed.
    #[serde(default)]
    pub closed_at: Option<String>,
}

/// A leaver with everything around her.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leaver {
    /// The line of the list.
    #[serde(flatten)]
    pub line: LeaverLine,
    /// What was done.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What is to be rotated.
    #[serde(default)]
    pub tasks: Vec<RotationTask>,
}

impl Client {
    /// All leavers.
    ///
    /// # Errors
    /// `denied`, `server-unavailable`.
    pub async fn leavers(&self) -> Result<Vec<LeaverLine>> {
        self.list(&["leavers"], &[]).await
    }

    /// One leaver, by id or e-mail address.
    ///
    /// # Errors
    /// `denied`, `not-found`, `ambiguous`.
    pub async fn leaver(&self, who: &str) -> Result<Leaver> {
        self.get(&["leavers", who], &[]).await
    }

    /// Rotation tasks, of one state or all.
    ///
    /// # Errors
    /// `denied`, `server-unavailable`.
    pub async fn rotation(&self, state: Option<&str>) -> Result<Vec<RotationTask>> {
        let query: Vec<(&str, &str)> = state.map(|state| ("state", state)).into_iter().collect();
        self.list(&["rotation"], &query).await
    }
}
