//! What the people are called whom an answer or a page would else name by id alone.

use std::collections::BTreeMap;

use super::App;
use crate::base::{Result, ids::PersonId};

/// Names by id. For answers whose reader may see what those people did.
#[derive(Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// What those among `ids` are called that are people's.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn of(app: &App, ids: &[String]) -> Result<Self> {
        let mut names = BTreeMap::new();
        for id in ids {
            if let (Ok(person), false) = (id.parse::<PersonId>(), names.contains_key(id)) {
                names.insert(id.clone(), app.identity.person(person).await?.display_name);
            }
        }
        Ok(Self(names))
    }

    /// Her name, where it is somebody's id.
    #[must_use]
    pub fn name(&self, id: &str) -> Option<String> {
        self.0.get(id).cloned()
    }

    /// Her name; whoever else it is, as the log says it.
    #[must_use]
    pub fn called<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }
}
