//! What people are called, beside the ids by which the log knows them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    base::{Result, ids::PersonId},
    client::Client,
};

/// Names by id.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Learns what those among `ids` are called that are people's; others are passed over.
    ///
    /// # Errors
    /// `denied`, `server-unavailable`.
    pub async fn learn<'i>(&mut self, client: &Client, ids: impl IntoIterator<Item = &'i str>) -> Result<()> {
        let new: BTreeSet<&str> = ids
            .into_iter()
            .filter(|id| id.parse::<PersonId>().is_ok() && !self.0.contains_key(*id))
            .collect();
        let new: Vec<String> = new.into_iter().map(str::to_owned).collect();
        for person in client.audit_names(&new).await? {
            let name = if person.email.is_empty() { person.display_name } else { person.email };
            self.0.insert(person.id, name);
        }
        Ok(())
    }

    /// What whoever has this id is called.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }

    /// An id with its name, where it has one.
    #[must_use]
    pub fn beside(&self, id: &str) -> String {
        self.of(id).map_or_else(|| id.to_owned(), |name| format!("{name} ({id})"))
    }
}
