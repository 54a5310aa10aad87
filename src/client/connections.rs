//! Connections by which identity providers say who works here.

use serde::{Deserialize, Deserializer, Serialize};

use super::Client;
use crate::base::{Result, SecretValue};

/// What is set for a new connection.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewConnection {
    /// Its name.
    pub name: String,
    /// By which identity provider its people sign in.
    pub provider: String,
    /// Which attribute equals which claim.
    pub link: String,
    /// Whether signing in by that provider creates nobody.
    pub authoritative: bool,
    /// Whether it may bring back whom it deactivated.
    pub may_reactivate: bool,
    /// Patterns of the groups that it may write.
    pub groups: Vec<String>,
    /// How many people it may remove in a while before somebody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals_number: Option<i64>,
    /// The same as a share, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals_share: Option<i64>,
    /// In which time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals_within: Option<String>,
}

/// What is to become of a connection; what is left out stays as it is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConnectionChange {
    /// By which identity provider its people sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Which attribute equals which claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Whether signing in by that provider creates nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authoritative: Option<bool>,
    /// Whether it may bring back whom it deactivated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_reactivate: Option<bool>,
    /// Patterns of the groups that it may write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// How many people it may remove in a while before somebody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals_number: Option<i64>,
    /// The same as a share, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals_share: Option<i64>,
    /// In which time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removals_within: Option<String>,
}

/// A token that was just made.
#[derive(Debug, Deserialize)]
pub struct ConnectionToken {
    /// Of which connection.
    pub connection: String,
    /// The token.
    #[serde(deserialize_with = "secret")]
    pub token: SecretValue,
    /// The address that the identity provider is given with it.
    pub url: String,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretValue, D::Error> {
    String::deserialize(from).map(SecretValue::from)
}

/// A connection as it is set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionLine {
    /// Its name.
    pub name: String,
    /// By which identity provider its people sign in.
    pub provider: String,
    /// Which attribute equals which claim.
    pub link: String,
    /// When it last spoke.
    #[serde(default)]
    pub heard_at: Option<String>,
    /// Since when it is out of use.
    #[serde(default)]
    pub disabled_at: Option<String>,
    /// Whether signing in by that provider creates nobody.
    #[serde(default)]
    pub authoritative: bool,
    /// Whether it may bring back whom it deactivated.
    #[serde(default)]
    pub may_reactivate: bool,
    /// Patterns of the groups that it may write.
    #[serde(default)]
    pub groups: Vec<String>,
    /// How many people it may remove in a while before somebody is asked.
    #[serde(default)]
    pub removals_number: i64,
    /// The same as a share, in percent.
    #[serde(default)]
    pub removals_share: i64,
    /// In which time.
    #[serde(default)]
    pub removals_within: String,
    /// What else the server tells.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// An operation that was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Method and kind of resource.
    pub operation: String,
    /// Which resource.
    pub resource: String,
    /// Why.
    pub because: String,
    /// How often.
    pub times: i64,
    /// When it was last refused.
    pub last_at: String,
}

/// A connection with everything around it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionDetails {
    /// As it is set.
    #[serde(flatten)]
    pub line: ConnectionLine,
    /// When each of its live tokens was made.
    pub tokens: Vec<String>,
    /// How many people it has.
    pub people: i64,
    /// Of them, those who are linked.
    pub linked: i64,
    /// How many groups it has.
    pub group_count: i64,
    /// How many members these have together.
    pub member_count: i64,
    /// What was refused to it lately.
    pub refused: Vec<Refused>,
}

/// Whether a connection's people are those who sign in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionChecked {
    /// People who are linked.
    pub linked: i64,
    /// Of them, those who have signed in.
    pub signed_in: i64,
    /// People who are not linked.
    pub unlinked: i64,
    /// Values of the external id that several people have.
    pub ambiguous: i64,
    /// People of the provider whom the connection does not have.
    pub strangers: i64,
    /// What is wrong.
    pub findings: Vec<String>,
}

/// A group of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionGroup {
    /// What files declare.
    pub group: String,
    /// What it is called.
    pub display_name: String,
    /// How many are in it.
    pub members: i64,
}

/// A person whom no account is known for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unlinked {
    /// By which connection.
    #[serde(default)]
    pub connection: String,
    /// Her id in SCIM.
    pub id: String,
    /// What she is called by.
    pub user_name: String,
    /// The id that the identity provider has for her.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Whether she is said to work here.
    pub active: bool,
    /// What to do.
    pub remedy: String,
}

/// How many tokens ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Retired {
    /// So many.
    pub ended: u64,
}

impl Client {
    /// Makes a connection.
    ///
    /// # Errors
    /// `denied`, `invalid-request`, `already-exists`.
    pub async fn create_connection(&self, new: &NewConnection) -> Result<ConnectionToken> {
        self.post(&["scim-connections"], new).await
    }

    /// All connections.
    ///
    /// # Errors
    /// `denied`.
    pub async fn connections(&self) -> Result<Vec<ConnectionLine>> {
        self.list(&["scim-connections"], &[]).await
    }

    /// One of them.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn connection(&self, name: &str) -> Result<ConnectionDetails> {
        self.get(&["scim-connections", name], &[]).await
    }

    /// Changes what is set for one.
    ///
    /// # Errors
    /// `denied`, `not-found`, `invalid-request`, `conflict`.
    pub async fn set_connection(&self, name: &str, change: &ConnectionChange) -> Result<ConnectionLine> {
        self.post(&["scim-connections", name, "set"], change).await
    }

    /// Makes another token.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict`.
    pub async fn rotate_connection(&self, name: &str) -> Result<ConnectionToken> {
        self.post(&["scim-connections", name, "rotate"], &serde_json::json!({})).await
    }

    /// Ends all tokens but the newest.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict`.
    pub async fn retire_connection(&self, name: &str) -> Result<Retired> {
        self.post(&["scim-connections", name, "retire"], &serde_json::json!({})).await
    }

    /// Takes a connection out of use.
    ///
    /// # Errors
    /// `denied`, `not-found`, `conflict`.
    pub async fn disable_connection(&self, name: &str, reason: &str) -> Result<()> {
        self.post(&["scim-connections", name, "disable"], &serde_json::json!({ "reason": reason })).await
    }

    /// Tries the linking of a connection.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn check_connection(&self, name: &str) -> Result<ConnectionChecked> {
        self.get(&["scim-connections", name, "check"], &[]).await
    }

    /// The groups of a connection.
    ///
    /// # Errors
    /// `denied`, `not-found`.
    pub async fn connection_groups(&self, name: &str) -> Result<Vec<ConnectionGroup>> {
        self.list(&["scim-connections", name, "groups"], &[]).await
    }

    /// People of all connections whom no account is known for.
    ///
    /// # Errors
    /// `denied`.
    pub async fn unlinked_people(&self) -> Result<Vec<Unlinked>> {
        let mut all = Vec::new();
        for connection in self.connections().await? {
            let name = connection.name;
            let some: Vec<Unlinked> = self.list(&["scim-connections", &name, "unlinked"], &[]).await?;
            all.extend(some.into_iter().map(|it| Unlinked { connection: name.clone(), ..it }));
        }
        Ok(all)
    }
}
