//! Questions that are answered from many entries at once: asked, recorded, and then read from the first
//! entry on.

use serde_json::Value;

use super::{
    opened::{EntryRow, ROWS},
    read::{Entry, NoteReading, Reader},
    tile::as_i64,
};
use crate::{
    base::{Result, Timestamp},
    policy::{Action, Permit},
    store::{Arg, Query},
};

/// Entries that are read at once.
const AT_ONCE: i64 = 500;

impl Reader {
    /// Records that the log is asked `question`. How many entries it had before.
    ///
    /// # Errors
    /// What recording answers.
    pub async fn ask(&self, permit: Permit, question: Value) -> Result<u64> {
        permit.expect(Action::ReadLog)?;
        let size = self.log.head().size;
        self.log.perform(NoteReading { permit, action: "log.read", filter: question }).await?;
        Ok(size)
    }

    /// Hands over every entry of one of these actions, the oldest first: those before index `before`,
    /// and not after `until`. For who has asked.
    ///
    /// # Errors
    /// `log-altered`; what `take` answers; else a problem of the database.
    pub async fn each(
        &self,
        actions: &[&str],
        before: u64,
        until: Option<Timestamp>,
        mut take: impl FnMut(&Entry) -> Result<()> + Send,
    ) -> Result<()> {
        let mut next = 0;
        loop {
            let rows: Vec<EntryRow> = self.database.fetch_all(page(actions, next, before, until)).await?;
            for row in &rows {
                take(&Entry::new(row, &row.open()?)?)?;
            }
            match rows.last() {
                Some(last) if rows.len() as u64 == AT_ONCE.unsigned_abs() => next = last.index() + 1,
                _ => return Ok(()),
            }
        }
    }
}

fn page(actions: &[&str], from: u64, before: u64, until: Option<Timestamp>) -> Query {
    let mut args: Vec<Arg> = vec![as_i64(from).into(), as_i64(before).into(), AT_ONCE.into()];
    args.push(until.map_or(i64::MAX, Timestamp::as_millis).into());
    let mut names = Vec::with_capacity(actions.len());
    for action in actions {
        args.push((*action).into());
        names.push(format!("${}", args.len()));
    }
    let names = names.join(", ");
    let text = format!(
        "{ROWS} WHERE e.idx >= $1 AND e.idx < $2 AND e.time <= $4 AND e.action IN ({names}) \
         ORDER BY e.idx LIMIT $3"
    );
    Query::composed(text, args)
}
