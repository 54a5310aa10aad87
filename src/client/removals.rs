//! Removals that are held, and numbers that are announced.

use serde::{Deserialize, Serialize};

use super::Client;
use crate::base::{Result, Timestamp};

/// Somebody who is held.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldRemoval {
    /// Who.
    pub person: String,
    /// What she is called.
    pub display_name: String,
    /// Her address.
    #[serde(default)]
    pub email: String,
    /// Which connection removed her.
    pub connection: String,
    /// What she was held with.
    pub batch: String,
    /// Since when.
    pub held_at: String,
}

/// Removals that are announced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExpectedRemovals {
    /// Which.
    pub id: String,
    /// By which connection; any without one.
    #[serde(default)]
    pub connection: Option<String>,
    /// How many.
    pub number: i64,
    /// How many have passed.
    pub used: i64,
    /// Until when it counts.
    pub until: String,
    /// Who announced it.
    pub by: String,
}

/// What came of a decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decided {
    /// Of how many people it was decided.
    pub decided: usize,
    /// Those of them whom the connection that removed them has no more.
    #[serde(default)]
    pub outside: Vec<String>,
}

/// An announcement that was just made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Announced {
    /// Which.
    pub id: String,
}

/// What becomes of held removals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldAct {
    /// They have left.
    Release,
    /// They have not.
    Reject,
}

impl HeldAct {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Reject => "reject",
        }
    }
}

impl Client {
    /// Everybody who is held.
    ///
    /// # Errors
    /// `denied`, `server-unavailable`.
    pub async fn held_removals(&self) -> Result<Vec<HeldRemoval>> {
        self.list(&["removals", "held"], &[]).await
    }

    /// Announced numbers that still count.
    ///
    /// # Errors
    /// `denied`, `server-unavailable`.
    pub async fn expected_removals(&self) -> Result<Vec<ExpectedRemovals>> {
        self.list(&["removals", "expected"], &[]).await
    }

    /// Decides on one person who is held, or on all.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict` where nothing is held.
    pub async fn decide_removals(&self, act: HeldAct, person: Option<&str>, reason: &str) -> Result<Decided> {
        let body = serde_json::json!({ "person": person, "all": person.is_none(), "reason": reason });
        self.post(&["removals", act.as_str()], &body).await
    }

    /// Announces removals.
    ///
    /// # Errors
    /// `denied`, `invalid-request`.
    pub async fn expect_removals(
        &self,
        number: u32,
        until: Timestamp,
        connection: Option<&str>,
        reason: &str,
    ) -> Result<Announced> {
        let body = serde_json::json!({
            "number": number, "until": until, "connection": connection, "reason": reason,
        });
        self.post(&["removals", "expected"], &body).await
    }

    /// Takes an announcement back.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict` where it counts no more.
    pub async fn withdraw_expected(&self, announcement: &str, reason: &str) -> Result<()> {
        let body = serde_json::json!({ "reason": reason });
        self.post(&["removals", "expected", announcement, "withdraw"], &body).await
    }
}
