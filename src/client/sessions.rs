//! Who one is, and sessions.

use serde::{Deserialize, Serialize};

use super::{Client, Grant, Move, Person};
use crate::base::Result;

/// A browser session or a command line that is signed in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// `browser` or `cli`.
    #[serde(default)]
    pub kind: String,
    /// Which browser or machine.
    #[serde(default)]
    pub label: Option<String>,
    /// When the person proved who she is.
    #[serde(default)]
    pub authenticated_at: Option<String>,
    /// When it ends at the latest.
    #[serde(default)]
    pub ends_at: Option<String>,
}

/// A group that somebody is in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldGroup {
    /// Who says so.
    pub source: String,
    /// What the source calls it.
    pub id: String,
    /// What our files call it.
    #[serde(default)]
    pub alias: Option<String>,
    /// When the source said so.
    #[serde(default)]
    pub asserted_at: Option<String>,
}

/// A trust scope, and why somebody is in it or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldScope {
    /// Its name.
    pub scope: String,
    /// Whether one is in it.
    pub within: bool,
    /// Why.
    #[serde(default)]
    pub because: Option<String>,
    /// What to do to be in it.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// Who the caller is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WhoAmI {
    /// The person.
    pub person: Person,
    /// The session of this command.
    pub session: Session,
    /// Her groups.
    #[serde(default)]
    pub groups: Vec<HeldGroup>,
    /// Her teams.
    #[serde(default)]
    pub teams: Vec<String>,
    /// The trust scopes.
    #[serde(default)]
    pub scopes: Vec<HeldScope>,
    /// Her live grants.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// What she gained and lost lately.
    #[serde(default)]
    pub moves: Vec<Move>,
    /// Whom to ask.
    #[serde(default)]
    pub contact: Option<String>,
}

impl Client {
    /// Who the caller is.
    ///
    /// # Errors
    /// `unauthenticated`, `server-unavailable`.
    pub async fn who_am_i(&self) -> Result<WhoAmI> {
        self.get(&["whoami"], &[]).await
    }

    /// One's own sessions, or those of a person.
    ///
    /// # Errors
    /// `denied`, `server-unavailable`.
    pub async fn sessions(&self, person: Option<&str>) -> Result<Vec<Session>> {
        let query: Vec<(&str, &str)> = person.map(|id| ("person", id)).into_iter().collect();
        self.list(&["sessions"], &query).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn end_session(&self, id: &str) -> Result<()> {
        self.delete(&["sessions", id]).await
    }
}
