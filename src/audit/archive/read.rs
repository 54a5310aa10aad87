//! Entries, wherever they lie: in the database, or in the archive.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    Archive,
    ranges::{self, ArchivedRange},
};
use crate::{
    audit::{
        forgotten::{FORGOT, Forgotten},
        leaf_hash,
        opened::{EntryRow, Opened, ROWS, entry_altered},
        read::Filter,
        tile::{self, WIDTH, as_i64},
        verify::archive::{ArchivedOpenings, ArchivedTile},
    },
    base::{Problem, ProblemKind, Result, Timestamp},
    store::{Arg, Database, Query},
};

/// Which entries are wanted.
pub(in crate::audit) enum Which<'w> {
    /// All.
    All,
    /// Those that a filter lets through. Words in reasons are the caller's to compare.
    Fit(&'w Filter),
    /// Those, and what says that something was forgotten.
    FitOrForgot(&'w Filter),
    /// Those of these actions, not after a time.
    Acts(&'w [&'w str], Option<Timestamp>),
}

impl Which<'_> {
    /// As a condition on `entries e`; the first argument is `$1`.
    fn condition(&self) -> (String, Vec<Arg>) {
        match self {
            Self::All => ("1 = 1".to_owned(), Vec::new()),
            Self::Fit(filter) => filter.condition(),
            Self::FitOrForgot(filter) => {
                let (condition, args) = filter.condition();
                (format!("(({condition}) OR e.action = '{FORGOT}')"), args)
            }
            Self::Acts(actions, until) => {
                let mut args: Vec<Arg> = vec![until.map_or(i64::MAX, Timestamp::as_millis).into()];
                args.extend(actions.iter().map(|action| Arg::from(*action)));
                let names: Vec<String> = (2..=args.len()).map(|n| format!("${n}")).collect();
                (format!("e.time <= $1 AND e.action IN ({})", names.join(", ")), args)
            }
        }
    }

    /// The same of a row that was read elsewhere.
    fn holds(&self, row: &EntryRow) -> bool {
        match self {
            Self::All => true,
            Self::Fit(filter) => filter.lets_through(row),
            Self::FitOrForgot(filter) => filter.lets_through(row) || row.action == FORGOT,
            Self::Acts(actions, until) => {
                actions.contains(&row.action.as_str()) && until.is_none_or(|it| row.time <= it.as_millis())
            }
        }
    }
}

/// Reads entries, whether they were archived or not. Cheap to clone.
#[derive(Clone)]
pub struct Entries {
    database: Database,
    archive: Option<Archive>,
}

impl Entries {
    /// Those of this database, and of its archive where it has one.
    #[must_use]
    pub fn new(database: Database, archive: Option<Archive>) -> Self {
        Self { database, archive }
    }

    /// The next of what is wanted from index `from` to before `before`, the oldest first, `limit` at most; and the index to
    /// go on from, which is `before` once all was looked at.
    ///
    /// # Errors
    /// `log-altered`, `archive-unavailable`; else a problem of the database.
    pub(in crate::audit) async fn next(
        &self,
        which: &Which<'_>,
        from: u64,
        before: u64,
        limit: u64,
    ) -> Result<(Vec<EntryRow>, u64)> {
        if from >= before {
            return Ok((Vec::new(), before));
        }
        loop {
            let archived = ranges::next(&self.database, from).await?;
            let found = match &archived {
                Some(range) if range.from <= from => {
                    self.next_archived(which, (from, before), limit, range).await?
                }
                _ => {
                    let end = archived.as_ref().map_or(before, |range| range.from.min(before));
                    self.next_stored(which, (from, end), limit).await?
                }
            };
            // What was moved meanwhile was not seen.
            if ranges::next(&self.database, from).await? == archived {
                return Ok(found);
            }
        }
    }

    async fn next_stored(
        &self,
        which: &Which<'_>,
        (from, end): (u64, u64),
        limit: u64,
    ) -> Result<(Vec<EntryRow>, u64)> {
        let (condition, mut args) = which.condition();
        args.extend([as_i64(from).into(), as_i64(end).into(), as_i64(limit).into()]);
        let n = args.len();
        let text = format!(
            "{ROWS} WHERE {condition} AND e.idx >= ${} AND e.idx < ${} ORDER BY e.idx LIMIT ${n}",
            n - 2,
            n - 1
        );
        let rows: Vec<EntryRow> = self.database.fetch_all(Query::composed(text, args)).await?;
        let next = after(&rows, limit, end);
        Ok((rows, next))
    }

    async fn next_archived(
        &self,
        which: &Which<'_>,
        (from, before): (u64, u64),
        limit: u64,
        range: &ArchivedRange,
    ) -> Result<(Vec<EntryRow>, u64)> {
        let number = from / WIDTH;
        let end = before.min((number + 1) * WIDTH);
        let mut rows = self.rows_of(number, range).await?;
        rows.retain(|row| (from..end).contains(&row.index()) && which.holds(row));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = after(&rows, limit, end);
        Ok((rows, next))
    }

    /// The entries of an archived tile, as rows would have them.
    pub(super) async fn rows_of(&self, number: u64, range: &ArchivedRange) -> Result<Vec<EntryRow>> {
        let tile = self.tile(number, range).await?;
        let mut pseudonyms = HashMap::new();
        let mut rows = Vec::new();
        for (leaf, beside) in tile.open(number)? {
            rows.push(self.row(leaf, &beside, &mut pseudonyms).await?);
        }
        Ok(rows)
    }

    /// What an archive has of a tile.
    async fn tile(&self, number: u64, range: &ArchivedRange) -> Result<ArchivedTile> {
        let archive = self.archive.as_ref().ok_or_else(|| no_archive(range))?;
        let [entries, _, openings] = ArchivedTile::paths(number);
        let read = async |path: &str| archive.read(path).await?.ok_or_else(|| not_there(path, range));
        // The hashes as the database has them, which nobody changes in the archive.
        let hashes = tile::hashes(&self.database, 0, number, WIDTH).await?.unwrap_or_default();
        Ok(ArchivedTile {
            entries: read(&entries).await?,
            hashes: hashes.concat(),
            openings: read(&openings).await?,
        })
    }

    async fn row(
        &self,
        leaf: Vec<u8>,
        beside: &ArchivedOpenings,
        pseudonyms: &mut HashMap<u64, Option<String>>,
    ) -> Result<EntryRow> {
        let wrong = |why: String| entry_altered(beside.index, &why);
        let opened = Opened::new(&leaf, &beside.openings).map_err(wrong)?;
        for by in opened.forgotten.values() {
            if !pseudonyms.contains_key(by) {
                pseudonyms.insert(*by, self.pseudonym(*by).await?);
            }
        }
        let instead = |field: &str| opened.forgotten.get(field).and_then(|by| pseudonyms[by].clone());
        let field = |name: &str| opened.field(name).map(str::to_owned).or_else(|| instead(name));
        let payload = opened.payload().map_err(wrong)?;
        let said = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut place = said("at").unwrap_or_default();
        let mut part = || {
            let (first, rest) = place
                .split_once('/')
                .map_or((place.clone(), String::new()), |(first, rest)| (first.to_owned(), rest.to_owned()));
            place = rest;
            (!first.is_empty()).then_some(first)
        };
        let (application, environment, secret) = (part(), part(), part());
        let body = serde_json::to_string(&beside.openings).map_err(|e| Problem::internal(e.to_string()))?;
        Ok(EntryRow {
            idx: as_i64(beside.index),
            time: opened.leaf.time,
            kind: opened.leaf.kind.as_str().to_owned(),
            action: opened.leaf.action.clone(),
            decision: opened.leaf.decision.clone(),
            actor: field("actor").unwrap_or_default(),
            subject: field("subject"),
            application,
            environment,
            secret,
            scope: said("scope"),
            request: said("request"),
            body: Some(body),
            leaf,
        })
    }

    /// What the entry `by` says that somebody goes by. Such entries stay in the database.
    async fn pseudonym(&self, by: u64) -> Result<Option<String>> {
        let query = Query::composed(format!("{ROWS} WHERE e.idx = $1"), vec![as_i64(by).into()]);
        let row: Option<EntryRow> = self.database.fetch_optional(query).await?;
        let opened = row.map(|row| row.open()).transpose()?;
        Ok(opened.as_ref().and_then(Forgotten::said_by).map(|said| said.pseudonym))
    }

    /// The first `width` entries of a tile, as they are in the log; fewer where there are fewer.
    ///
    /// # Errors
    /// `log-altered`, `archive-unavailable`; else a problem of the database.
    pub async fn leaves(&self, number: u64, width: u64) -> Result<Vec<Vec<u8>>> {
        let first = number * WIDTH;
        let leaves = tile::leaves(&self.database, first, first + width).await?;
        if leaves.len() as u64 == width {
            return Ok(leaves);
        }
        let Some(range) = ranges::next(&self.database, first).await?.filter(|range| range.from <= first)
        else {
            return Ok(leaves);
        };
        let archive = self.archive.as_ref().ok_or_else(|| no_archive(&range))?;
        let [path, ..] = ArchivedTile::paths(number);
        let bytes = archive.read(&path).await?.ok_or_else(|| not_there(&path, &range))?;
        let wanted = usize::try_from(width).unwrap_or(usize::MAX);
        let hashes = tile::hashes(&self.database, 0, number, WIDTH).await?.unwrap_or_default();
        let found = tile::unbundle(&bytes).unwrap_or_default();
        for ((index, leaf), hash) in (first..).zip(&found).zip(&hashes).take(wanted) {
            if leaf_hash(leaf) != *hash {
                return Err(entry_altered(index, "what the archive has of it is not what was signed"));
            }
        }
        if found.len() != hashes.len() {
            return Err(entry_altered(first, &format!("{path} of the archive cannot be taken apart")));
        }
        Ok(found.into_iter().take(wanted).map(<[u8]>::to_vec).collect())
    }

    /// Refuses an entry that was moved: whoever goes on from there would miss the rest silently.
    ///
    /// # Errors
    /// `conflict`, saying where it lies; else a problem of the database.
    pub async fn refuse_archived(&self, index: u64) -> Result<()> {
        match ranges::next(&self.database, index).await? {
            Some(range) if range.from <= index => Err(Problem::new(
                ProblemKind::Conflict,
                format!("entries {} to {} lie in the archive {}", range.from, range.to - 1, range.archive),
            )
            .remedy(format!(
                "Go on from entry {}; `portctl audit export` reads those before it, too.",
                range.to
            ))),
            _ => Ok(()),
        }
    }
}

/// The index to go on from after a page.
fn after(rows: &[EntryRow], limit: u64, end: u64) -> u64 {
    match rows.last() {
        Some(last) if rows.len() as u64 >= limit => last.index() + 1,
        _ => end,
    }
}

/// Entries were moved, and nothing says any more where to.
pub(in crate::audit) fn no_archive(range: &ArchivedRange) -> Problem {
    Problem::new(
        ProblemKind::ArchiveUnavailable,
        format!(
            "entries {} to {} were moved to {}, and the server knows no archive any more",
            range.from,
            range.to - 1,
            range.archive
        ),
    )
    .remedy("Name it in the server's configuration: `[log.archive] to`.")
}

fn not_there(path: &str, range: &ArchivedRange) -> Problem {
    Problem::new(
        ProblemKind::LogIncomplete,
        format!("{path} was moved to the archive {} and is not there", range.archive),
    )
    .with("path", path.to_owned())
    .remedy(
        "Where the archive was moved, name its new place in `[log.archive] to`; else bring back its copy.",
    )
}
