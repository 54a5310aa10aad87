//! Who left, and what is still to be taken back.

use serde::{Deserialize, Serialize};

use super::{Client, PersonLine, RotationTask};
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
    /// Open rotation tasks that have to be done.
    #[serde(default)]
    pub rotation_tasks: i64,
    /// Open rotation tasks that may wait.
    #[serde(default)]
    pub waived: i64,
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
    /// How it was closed: `nothing-left`, `by-hand` or `came-back`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Who closed it by hand.
    #[serde(default)]
    pub closed_by: Option<String>,
    /// Why.
    #[serde(default)]
    pub closed_because: Option<String>,
    /// Whether she has come back since.
    #[serde(default)]
    pub came_back: bool,
    /// What is left.
    pub left: Left,
}

/// Something that she held.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldThing {
    /// `session`, `request`, `grant`, …
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What it was.
    pub what: String,
    /// Since when she had it.
    pub began_at: String,
    /// When it died.
    #[serde(default)]
    pub ended_at: Option<String>,
}

/// A step that could not be taken yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delay {
    /// What sort of step.
    pub step: String,
    /// What it is about.
    pub thing: String,
    /// How often it was tried.
    pub attempts: i64,
    /// Since when.
    pub since: String,
    /// What stood in its way.
    pub last_error: String,
}

/// A request that somebody could decide.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Power {
    /// The request.
    pub request: String,
    /// Who asked.
    pub person: String,
    /// For which trust scope.
    pub scope: String,
    /// Where.
    pub at: String,
    /// How many others could.
    pub others: usize,
}

/// What would end if somebody left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaverPreview {
    /// Who.
    pub person: String,
    /// What she is now.
    pub status: String,
    /// Sessions.
    pub sessions: i64,
    /// Requests of hers.
    pub requests: i64,
    /// Grants.
    pub grants: i64,
    /// Leases.
    pub leases: i64,
    /// Requests of others that she could decide.
    #[serde(default)]
    pub powers: Vec<Power>,
    /// Secrets that would have to be changed.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// What else the server tells.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
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
    /// What she held, and when each died.
    #[serde(default)]
    pub held: Vec<HeldThing>,
    /// Steps that could not be taken yet.
    #[serde(default)]
    pub delays: Vec<Delay>,
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

    /// What would end if somebody left now.
    ///
    /// # Errors
    /// `denied`, `not-found`, `ambiguous`.
    pub async fn leaver_preview(&self, who: &str) -> Result<LeaverPreview> {
        self.get(&["leavers", who, "preview"], &[]).await
    }

    /// Closes a leaver by hand.
    ///
    /// # Errors
    /// `denied`, `not-found`, `ambiguous`, `conflict`.
    pub async fn close_leaver(&self, who: &str, reason: &str) -> Result<Leaver> {
        self.post(&["leavers", who, "close"], &serde_json::json!({ "reason": reason })).await
    }
}
