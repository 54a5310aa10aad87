//! Asking for a trust scope, and saying yes or no.

use serde::{Deserialize, Serialize};

use super::{Client, PersonLine};
use crate::base::Result;

/// What is asked for.
#[derive(Clone, Debug, Serialize)]
pub struct NewRequest<'a> {
    /// What is to be done.
    pub action: &'a str,
    /// Where.
    pub at: &'a str,
    /// In which trust scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'a str>,
    /// For how long, such as `1h`.
    #[serde(rename = "for")]
    pub length: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// A trust scope held for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// The trust scope.
    pub scope: String,
    /// Where.
    pub at: String,
    /// When it began.
    pub starts_at: String,
    /// When it ends at the latest.
    pub ends_at: String,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<String>,
    /// Why it ended.
    #[serde(default)]
    pub ended_because: Option<String>,
}

/// What somebody said to a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// Who.
    pub person: PersonLine,
    /// `approve` or `deny`.
    pub decision: String,
    /// When.
    pub at: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// Who asks.
    pub person: PersonLine,
    /// What she wants to do.
    #[serde(default)]
    pub action: Option<String>,
    /// The trust scope.
    pub scope: String,
    /// Where.
    pub at: String,
    /// For how long.
    #[serde(rename = "for")]
    pub length: String,
    /// Why.
    pub reason: String,
    /// `pending`, `approved`, `denied`, `cancelled`, `expired` or `withdrawn`.
    pub state: String,
    /// When she asked.
    pub created_at: String,
    /// Until when it can be decided.
    pub expires_at: String,
    /// What was said to it.
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// What it became.
    #[serde(default)]
    pub grant: Option<Grant>,
}

impl Request {
    /// Whether it still waits for a decision.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.state == "pending"
    }
}

/// The answer to asking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// A live grant, where there is one.
    #[serde(default)]
    pub grant: Option<Grant>,
    /// Who can approve.
    #[serde(default)]
    pub approvers: Vec<PersonLine>,
    /// The page where it is decided.
    pub link: String,
    /// Whether a request was made: where not, this is one of before.
    #[serde(default = "made")]
    pub created: bool,
}

/// What a server means that does not say.
const fn made() -> bool {
    true
}

/// What is said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Deny,
    /// The requester takes it back.
    Cancel,
}

impl Verdict {
    /// As addresses and commands spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Cancel => "cancel",
        }
    }
}

#[derive(Serialize)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl Client {
    /// Asks.
    ///
    /// # Errors
    /// `denied`, `ambiguous`, `invalid-request`.
    pub async fn ask(&self, request: &NewRequest<'_>) -> Result<Asked> {
        self.post(&["requests"], request).await
    }

    /// One's own requests (`mine`) or those that wait for one's decision (`to-decide`).
    ///
    /// # Errors
    /// `unauthenticated`, `server-unavailable`.
    pub async fn requests(&self, role: Option<&str>, state: Option<&str>) -> Result<Vec<Request>> {
        let query: Vec<(&str, &str)> =
            [("role", role), ("state", state)].into_iter().filter_map(|(k, v)| v.map(|v| (k, v))).collect();
        self.list(&["requests"], &query).await
    }

    /// One request.
    ///
    /// # Errors
    /// `not-found`, `denied`.
    pub async fn request_by_id(&self, id: &str) -> Result<Request> {
        self.get(&["requests", id], &[]).await
    }

    /// Decides a request, or takes it back.
    ///
    /// # Errors
    /// `denied`, `conflict`, `not-found`.
    pub async fn decide(&self, id: &str, verdict: Verdict, reason: Option<&str>) -> Result<Request> {
        self.post(&["requests", id, verdict.as_str()], &Said { reason }).await
    }

    /// One's own grants.
    ///
    /// # Errors
    /// `unauthenticated`, `server-unavailable`.
    pub async fn grants(&self) -> Result<Vec<Grant>> {
        self.list(&["grants"], &[]).await
    }
}
