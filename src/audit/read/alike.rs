//! Entries whose actions begin alike: `secret.` for all that happens to secrets. The index has whole actions;
//! a page out of many of them would walk the log up to the last rare one.

use super::{Filter, NEAR, Range, Reader};
use crate::{
    audit::opened::EntryRow,
    base::Result,
    store::{Database, sql},
};

impl Reader {
    /// The rows of a page. What is frequent is found among the entries that are near; else each action has
    /// its own part of the index.
    pub(super) async fn rows_alike(&self, filter: &Filter, range: &Range) -> Result<Vec<EntryRow>> {
        let near = range.near(NEAR);
        let rows = self.rows_of(filter, &near).await?;
        if near == *range || rows.len() == range.limit as usize {
            return Ok(rows);
        }
        let mut rows = Vec::new();
        for action in recorded(&self.database).await? {
            if filter.action.as_ref().is_some_and(|beginning| action.starts_with(beginning)) {
                let exactly = Filter { action: Some(action), ..filter.clone() };
                rows.extend(self.rows_of(&exactly, range).await?);
            }
        }
        rows.sort_unstable_by_key(EntryRow::index);
        if range.is_newest_first() {
            rows.reverse();
        }
        rows.truncate(range.limit as usize);
        Ok(rows)
    }
}

/// Every action that stands in the log, by as many steps through its index as there are actions.
async fn recorded(database: &Database) -> Result<Vec<String>> {
    let rows: Vec<(String,)> = database
        .fetch_all(sql("WITH RECURSIVE known (action) AS ( \
               SELECT min(action) FROM entries \
               UNION ALL \
               SELECT (SELECT min(e.action) FROM entries e WHERE e.action > known.action) \
               FROM known WHERE known.action IS NOT NULL) \
             SELECT action FROM known WHERE action IS NOT NULL"))
        .await?;
    Ok(rows.into_iter().map(|(action,)| action).collect())
}
