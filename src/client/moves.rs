//! What people gained and lost when their groups changed.

use serde::{Deserialize, Serialize};

use super::{Client, PersonLine};
use crate::base::Result;

/// What somebody gained and lost at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Move {
    /// Its id.
    pub id: String,
    /// Who moved.
    pub person: PersonLine,
    /// When it was noted.
    pub at: String,
    /// Teams that she came into.
    #[serde(default)]
    pub teams_gained: Vec<String>,
    /// Teams that she is in no longer.
    #[serde(default)]
    pub teams_lost: Vec<String>,
    /// Trust scopes that are hers now, or that she can ask for now.
    #[serde(default)]
    pub scopes_gained: Vec<String>,
    /// Trust scopes that no longer are.
    #[serde(default)]
    pub scopes_lost: Vec<String>,
    /// Grants that ended.
    #[serde(default)]
    pub grants_ended: Vec<String>,
    /// Requests that were withdrawn.
    #[serde(default)]
    pub requests_withdrawn: Vec<String>,
    /// The entry that tells of it.
    pub entry: i64,
}

impl Client {
    /// What somebody gained and lost, by id or e-mail address; without one, you, and what moved into and
    /// out of your teams.
    ///
    /// # Errors
    /// `denied`, `not-found`, `ambiguous`.
    pub async fn moves(&self, who: Option<&str>) -> Result<Vec<Move>> {
        let query: Vec<(&str, &str)> = who.map(|who| ("person", who)).into_iter().collect();
        self.list(&["moves"], &query).await
    }
}
