//! The rows of the log: its head, its entries, and the batches by which a commit is found again.

use crate::{
    audit::{Edge, entry::Sealed, tree::leaf_hash},
    base::{Problem, ProblemKind, Result, Timestamp, ids::BatchId},
    store::{
        Arg, Database, StoreError, WriteTx,
        exceptions::{self, HeadRow, Rows, lock_head},
        sql,
    },
};

use super::Head;

/// For how many entries the batches are kept, by which an unanswered commit is found again.
const REMEMBERED: u64 = 1 << 18;
/// How often older ones are removed, in entries.
const PRUNED_EVERY: u64 = 1 << 10;
/// How many rows one statement inserts at most.
const ROWS_AT_ONCE: usize = 256;
/// How many the first one does. Each further one takes twice as many: they are made ready meanwhile, which
/// takes half as long as inserting them.
const ROWS_AT_FIRST: usize = 64;
/// Of more rows than this, so many or a multiple are inserted, so that few statements have to be prepared.
const ROWS_ROUNDED: usize = 16;

/// Locks the head and reads it.
pub(super) async fn take_head(tx: &mut WriteTx) -> Result<(Edge, Head), Problem> {
    let row = lock_head(tx).await?.ok_or_else(no_head)?;
    check_head(&row)
}

/// Begins a transaction, locks the head and reads it.
pub(super) async fn begin(database: &Database) -> Result<(WriteTx, Edge, Head), Problem> {
    let (tx, row) = database.begin_write_at_head().await?;
    let (edge, head) = check_head(&row.ok_or_else(no_head)?)?;
    Ok((tx, edge, head))
}

fn no_head() -> Problem {
    Problem::new(ProblemKind::LogAltered, "the log has lost its head row")
}

/// The head that a row says, where it fits itself.
pub(super) fn check_head(row: &HeadRow) -> Result<(Edge, Head), Problem> {
    let altered = || Problem::new(ProblemKind::LogAltered, "the head of the log does not fit its tree");
    let size = u64::try_from(row.size).map_err(|_| altered())?;
    let edge = Edge::from_stored(size, &row.edge).ok_or_else(altered)?;
    let root = edge.root();
    if row.root != root {
        return Err(altered());
    }
    Ok((edge, Head { size, root, time: Timestamp::from_millis(row.time) }))
}

/// Writes the head of an empty log where there is none.
pub(super) async fn begin_empty(tx: &mut WriteTx, empty: &Head) -> Result<(), StoreError> {
    tx.execute(
        sql("INSERT INTO log_head (id, size, root, edge, batch, time) VALUES (1, 0, $1, $2, '', 0) \
             ON CONFLICT (id) DO NOTHING")
        .bind(empty.root)
        .bind(Vec::new()),
    )
    .await?;
    Ok(())
}

/// Appends so many entries at the edge, which grows by them. `make` hands over the next ones, of a number
/// that it is told; it is asked for them while the database takes in those before. Whether all were there:
/// where `make` has none, nothing more is appended.
pub(super) async fn append(
    tx: &mut WriteTx,
    edge: &mut Edge,
    count: usize,
    mut make: impl FnMut(usize) -> Option<Vec<Sealed>>,
) -> Result<bool, StoreError> {
    let (mut left, mut most) = (count, ROWS_AT_FIRST);
    let mut ready = |edge: &mut Edge| -> Result<Option<Ready>, StoreError> {
        let next = at_once(left, most);
        left -= next;
        most = ROWS_AT_ONCE.min(2 * most);
        make(next).map(|rows| Ready::new(edge, &rows)).transpose()
    };
    let mut next = ready(edge)?;
    while let Some(rows) = next {
        if rows.is_empty() {
            return Ok(true);
        }
        let (written, following) = tokio::join!(rows.insert(tx), async { ready(edge) });
        written?;
        next = following?;
    }
    Ok(false)
}

/// How many of those that are left are inserted next, of `most` at most.
fn at_once(left: usize, most: usize) -> usize {
    let next = left.min(most);
    if next < ROWS_ROUNDED { next } else { next - next % ROWS_ROUNDED }
}

/// Rows that are ready to be inserted.
struct Ready {
    entries: Rows,
    openings: Rows,
}

impl Ready {
    fn new(edge: &mut Edge, rows: &[Sealed]) -> Result<Self, StoreError> {
        let first = edge.size();
        for row in rows {
            edge.push(leaf_hash(&row.leaf));
        }
        Ok(Self { entries: entries_rows(first, rows), openings: openings_rows(first, rows)? })
    }

    fn is_empty(&self) -> bool {
        self.entries.args.is_empty()
    }

    async fn insert(self, tx: &mut WriteTx) -> Result<(), StoreError> {
        exceptions::insert_both(tx, self.entries, self.openings).await
    }
}

/// Columns that every entry fills.
const FILLED: [&str; 7] = ["idx", "leaf", "time", "kind", "action", "decision", "actor"];

/// A column that an entry may leave empty.
type Optional = (&'static str, fn(&Sealed) -> Option<&str>);

/// Those are only named where one of the rows fills them: most are empty most of the time.
const OPTIONAL: [Optional; 6] = [
    ("subject", |entry| entry.draft.subject.as_deref()),
    ("application", |entry| entry.draft.application.as_deref()),
    ("environment", |entry| entry.draft.environment.as_deref()),
    ("secret", |entry| entry.draft.secret.as_deref()),
    ("scope", |entry| entry.scope.as_ref().map(crate::base::Name::as_str)),
    ("request", |entry| entry.draft.request.as_deref()),
];

fn entries_rows(first: u64, rows: &[Sealed]) -> Rows {
    let used: Vec<&Optional> =
        OPTIONAL.iter().filter(|(_, value)| rows.iter().any(|row| value(row).is_some())).collect();
    let columns: Vec<&'static str> = FILLED.into_iter().chain(used.iter().map(|(name, _)| *name)).collect();
    let mut args: Vec<Arg> = Vec::with_capacity(columns.len() * rows.len());
    for (index, entry) in (first..).zip(rows) {
        let draft = &entry.draft;
        args.extend([
            as_i64(index).into(),
            entry.leaf.as_slice().into(),
            entry.time.into(),
            draft.kind.as_str().into(),
            draft.action.as_str().into(),
            draft.decision.into(),
            entry.actor.as_str().into(),
        ]);
        args.extend(used.iter().map(|(_, value)| value(entry).into()));
    }
    Rows { table: "entries", columns, args }
}

fn openings_rows(first: u64, rows: &[Sealed]) -> Result<Rows, StoreError> {
    let mut args: Vec<Arg> = Vec::with_capacity(2 * rows.len());
    for (index, entry) in (first..).zip(rows) {
        let body = serde_json::to_string(&entry.openings).map_err(|e| StoreError::Refused(e.to_string()))?;
        args.extend([as_i64(index).into(), body.into()]);
    }
    Ok(Rows { table: "openings", columns: vec!["entry", "body"], args })
}

/// Moves the head by compare-and-set and commits: where size or root are not what was read, nobody does.
/// Notes the batch, and forgets those that nobody can be looking for any more.
pub(super) async fn commit(
    mut tx: WriteTx,
    from: &Head,
    to: &Head,
    edge: &Edge,
    batch: BatchId,
) -> Result<(), StoreError> {
    let args = [
        as_i64(to.size).into(),
        to.root.into(),
        edge.to_bytes().into(),
        batch.into(),
        to.time.into(),
        as_i64(from.size).into(),
        from.root.into(),
        as_i64(from.size).into(),
        batch.into(),
        as_i64(to.size - from.size).into(),
    ];
    if from.size / PRUNED_EVERY != to.size / PRUNED_EVERY {
        let oldest = to.size.saturating_sub(REMEMBERED);
        tx.execute(sql("DELETE FROM batches WHERE first < $1").bind(as_i64(oldest))).await?;
    }
    exceptions::commit_at_head(tx, args).await
}

/// Whether a batch that was to begin at `first` is there; nothing where that can no longer be told.
///
/// Asked while the head is locked: a transaction that could still commit it would hold that lock.
pub(super) async fn find_batch(
    tx: &mut WriteTx,
    first: u64,
    batch: BatchId,
    head: &Head,
) -> Result<Option<bool>, StoreError> {
    let found: Option<(i64,)> = tx
        .fetch_optional(
            sql("SELECT size FROM batches WHERE first = $1 AND id = $2").bind(as_i64(first)).bind(batch),
        )
        .await?;
    let remembered = head.size < first + REMEMBERED;
    Ok(found.map(|_| true).or_else(|| remembered.then_some(false)))
}

/// Sizes and indices are BIGINT in the database; a log of 2^63 entries will not be seen.
fn as_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
