//! Which entries move next: whole tiles, all of them signed and old enough, and none under a hold.

use crate::{
    audit::{
        archive::ranges,
        checkpoint::newest_size,
        opened::{EntryRow, ROWS},
        tile::{WIDTH, as_i64},
    },
    base::{Result, Timestamp},
    store::{Database, Query, sql},
};

/// Tiles that move at once, at most: one unit takes their rows, and holds up all others meanwhile.
const TILES: u64 = 8;

/// A hold that stands.
#[derive(sqlx::FromRow)]
pub(super) struct Standing {
    pub(super) id: String,
    person: Option<String>,
    email: Option<String>,
}

/// Holds that stand.
pub(super) async fn holds(database: &Database) -> Result<Vec<Standing>> {
    let query = sql("SELECT h.id, h.person, p.email FROM holds h LEFT JOIN people p ON p.id = h.person \
                     WHERE h.released_at IS NULL ORDER BY h.id");
    Ok(database.fetch_all(query).await?)
}

/// Looks for what may move.
pub(super) struct Plan<'d> {
    pub(super) database: &'d Database,
    /// Entries of this time and of later ones stay.
    pub(super) before: Timestamp,
    pub(super) holds: &'d [Standing],
}

impl Plan<'_> {
    /// The next range; nothing where everything that may move has.
    pub(super) async fn next(&self) -> Result<Option<(u64, u64)>> {
        if self.holds.iter().any(|hold| hold.person.is_none()) {
            return Ok(None);
        }
        let end = self.end().await?;
        let mut from = 0;
        while from < end {
            let archived = ranges::next(self.database, from).await?;
            match &archived {
                Some(range) if range.from <= from => from = range.to,
                _ if self.is_held(from).await? => from += WIDTH,
                _ => {
                    let end = archived.map_or(end, |range| range.from.min(end));
                    return self.run(from, end.min(from + TILES * WIDTH)).await.map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Whether nothing of a range is under a hold.
    pub(super) async fn is_free(&self, (from, to): (u64, u64)) -> Result<bool> {
        if self.holds.iter().any(|hold| hold.person.is_none()) {
            return Ok(false);
        }
        for tile in (from..to).step_by(256) {
            if self.is_held(tile).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// From a tile that is free to the first that is not.
    async fn run(&self, from: u64, end: u64) -> Result<(u64, u64)> {
        let mut to = from + WIDTH;
        while to < end && !self.is_held(to).await? {
            to += WIDTH;
        }
        Ok((from, to))
    }

    /// Where what is old enough and signed ends: a multiple of 256.
    async fn end(&self) -> Result<u64> {
        let signed = newest_size(self.database).await?;
        let query = sql("SELECT idx FROM entries WHERE time >= $1 ORDER BY time, idx LIMIT 1");
        let first_young: Option<(i64,)> = self.database.fetch_optional(query.bind(self.before)).await?;
        let old = first_young.map_or(signed, |(index,)| index.unsigned_abs());
        Ok(old.min(signed) / WIDTH * WIDTH)
    }

    /// Whether a hold covers anything of the tile that begins at `first`.
    async fn is_held(&self, first: u64) -> Result<bool> {
        if self.holds.is_empty() {
            return Ok(false);
        }
        let text = format!("{ROWS} WHERE e.idx >= $1 AND e.idx < $2 ORDER BY e.idx");
        let args = vec![as_i64(first).into(), as_i64(first + WIDTH).into()];
        let rows: Vec<EntryRow> = self.database.fetch_all(Query::composed(text, args)).await?;
        Ok(rows.iter().any(|row| self.holds.iter().any(|hold| hold.covers(row))))
    }
}

impl Standing {
    fn covers(&self, row: &EntryRow) -> bool {
        let Some(person) = &self.person else { return true };
        let body = row.body.as_deref().unwrap_or_default();
        let email = self.email.as_deref().filter(|email| !email.is_empty());
        row.actor == *person
            || row.subject.as_ref() == Some(person)
            || body.contains(person.as_str())
            || email.is_some_and(|email| body.to_lowercase().contains(&email.to_lowercase()))
    }
}
