//! People.

use serde::{Deserialize, Serialize};

use super::Client;
use crate::base::Result;

/// A person, as others see her.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PersonLine {
    /// Her id.
    pub id: String,
    /// What she is called.
    pub display_name: String,
}

/// A person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    /// Her id.
    pub id: String,
    /// `active`, `suspended` or `deactivated`.
    pub status: String,
    /// What she is called.
    #[serde(default)]
    pub display_name: String,
    /// Her address, where it is known.
    #[serde(default)]
    pub email: Option<String>,
    /// What else the server tells.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// What is done to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonAct {
    /// Everything is taken away.
    Deactivate,
    /// Nothing works, nothing is taken away.
    Suspend,
    /// Undoes a suspension.
    Resume,
    /// Brings back who was deactivated.
    Reactivate,
    /// Ends all sessions.
    SignOut,
}

impl PersonAct {
    /// As addresses and commands spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deactivate => "deactivate",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Reactivate => "reactivate",
            Self::SignOut => "sign-out",
        }
    }
}

impl Client {
    /// The people whose name or address holds `query`; all without one.
    ///
    /// # Errors
    /// `denied`, `server-unavailable`.
    pub async fn people(&self, query: Option<&str>) -> Result<Vec<Person>> {
        let query: Vec<(&str, &str)> = query.map(|text| ("query", text)).into_iter().collect();
        self.list(&["people"], &query).await
    }

    /// A person by id or e-mail address.
    ///
    /// # Errors
    /// `denied`, `not-found`, `ambiguous` with both ids.
    pub async fn person(&self, who: &str) -> Result<Person> {
        self.get(&["people", who], &[]).await
    }

    /// Does something to a person.
    ///
    /// # Errors
    /// `denied`, `not-found`, `ambiguous`, `conflict`.
    pub async fn act_on_person(&self, who: &str, act: PersonAct, reason: &str) -> Result<serde_json::Value> {
        self.post(&["people", who, act.as_str()], &serde_json::json!({ "reason": reason })).await
    }
}
