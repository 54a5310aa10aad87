//! For whom a message is: those who can do something about it.

use async_trait::async_trait;
use serde_json::Value;

use crate::base::{Problem, Result};

/// Addresses of people and teams. The server implements it.
#[async_trait]
pub trait AddressBook: Send + Sync {
    /// Where a team wants to be told; nothing where no file says so.
    async fn of_team(&self, team: &str) -> Result<Option<String>>;

    /// The address of an active person; nothing where none is known.
    async fn of_person(&self, person: &str) -> Result<Option<String>>;
}

/// An address book without anybody in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAddresses;

#[async_trait]
impl AddressBook for NoAddresses {
    async fn of_team(&self, _: &str) -> Result<Option<String>> {
        Ok(None)
    }

    async fn of_person(&self, _: &str) -> Result<Option<String>> {
        Ok(None)
    }
}

/// The recipients of a message, each once: its approvers where it names any, else its team, else the
/// administrators; the administrators, too, where nobody of these has an address.
pub(super) async fn of(body: &str, book: &dyn AddressBook, administrators: &[String]) -> Result<Vec<String>> {
    let message: Value = serde_json::from_str(body)
        .map_err(|e| Problem::internal(format!("a message cannot be read: {e}")))?;
    let data = &message["data"];
    let mut found = Vec::new();
    for approver in data["approvers"].as_array().into_iter().flatten() {
        let id = approver["id"].as_str().or_else(|| approver.as_str());
        if let Some(id) = id {
            found.extend(book.of_person(id).await?);
        }
    }
    if data.get("approvers").is_none()
        && let Some(team) = data["team"].as_str()
    {
        found.extend(book.of_team(team).await?);
    }
    if found.is_empty() {
        found.extend_from_slice(administrators);
    }
    found.sort();
    found.dedup();
    Ok(found)
}
