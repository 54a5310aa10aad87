//! What the people are called whom a page would else name by id.

use std::collections::BTreeMap;

use crate::{
    api::App,
    base::{Result, ids::PersonId},
};

/// Names by id. For pages whose reader may see those people.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// What those among `ids` are called that are people's.
    pub(super) async fn of(app: &App, ids: &[String]) -> Result<Self> {
        let mut names = BTreeMap::new();
        for id in ids {
            if let (Ok(person), false) = (id.parse::<PersonId>(), names.contains_key(id)) {
                names.insert(id.clone(), app.identity.person(person).await?.display_name);
            }
        }
        Ok(Self(names))
    }

    /// Her name; whoever else it is, as the log says it.
    pub(super) fn called<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }
}
