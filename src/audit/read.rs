//! Asking the log: filters, and pages that stay as they are while it grows.

mod alike;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Authority, Draft, Log, Unit, Work,
    archive::{ArchivedRange, Entries, Which, ranges},
    checkpoint::Checkpoint,
    export::{Bound, Format},
    note::VerifierKey,
    opened::{EntryRow, Opened, ROWS},
    tile::{TreeReader, as_i64},
    unknown::{UnknownName, unknown},
    verify::{ExportEnd, ExportHeader, ExportLine},
    witness::{WitnessPolicy, note_for_export},
};
use crate::{
    base::{Problem, ProblemKind, Result, Timestamp, hex},
    policy::{Action, Permit},
    store::{Arg, Database, Query},
};

/// Most entries of a page.
pub const LARGEST_PAGE: u32 = 500;
/// Entries of an export that are read at once.
const AT_ONCE: u64 = 256;
/// Among how many entries one page looks for words: what lies beside entries has no index, so that nothing
/// of what was forgotten is left in one.
const LOOKED_THROUGH: u64 = 20_000;
/// Among how many entries one page first looks for actions that begin alike.
const NEAR: u64 = 4096;

/// Which entries. What is left out fits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Who acted: `per_…` or `service/broker`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Whom it is about: `per_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// In which application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// In which environment; with `@TEAM` the copy of that team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// On which secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What was done; `secret.` means everything that begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// `allow` or `deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// `act`, `denial`, `intent` or `outcome`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// By which trust scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// For which request: `req_…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Words that all stand in the reason, whatever their case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Refuses what could not mean anything.
    ///
    /// # Errors
    /// `invalid-request`.
    pub fn check(&self) -> Result<()> {
        let known = |what: &str, value: Option<&str>, all: &[&str]| match value {
            Some(value) if !all.contains(&value) => {
                Err(Problem::invalid(format!("there is no {what} '{}'", value.escape_debug()))
                    .remedy(format!("Say one of {}.", all.join(", "))))
            }
            _ => Ok(()),
        };
        known("decision", self.decision.as_deref(), &["allow", "deny"])?;
        known("kind", self.kind.as_deref(), &["act", "denial", "intent", "outcome"])?;
        match (self.since, self.until) {
            (Some(since), Some(until)) if since > until => {
                Err(Problem::invalid(format!("the time from {since} to {until} ends before it begins"))
                    .remedy("Turn the two round."))
            }
            _ => Ok(()),
        }
    }

    /// Whether it leaves anything out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As a condition on `entries e`; the first argument is `$1`.
    pub(super) fn condition(&self) -> (String, Vec<Arg>) {
        let mut terms: Vec<String> = vec!["1 = 1".to_owned()];
        let mut args: Vec<Arg> = Vec::new();
        let equal = [
            ("actor", &self.actor),
            ("subject", &self.subject),
            ("application", &self.application),
            ("environment", &self.environment),
            ("secret", &self.secret),
            ("decision", &self.decision),
            ("kind", &self.kind),
            ("scope", &self.scope),
            ("request", &self.request),
        ];
        for (column, value) in equal {
            if let Some(value) = value {
                args.push(value.into());
                terms.push(format!("e.{column} = ${}", args.len()));
            }
        }
        if let Some(action) = &self.action {
            args.push(action.into());
            let n = args.len();
            terms.push(if action.ends_with('.') {
                format!("substr(e.action, 1, {}) = ${n}", action.chars().count())
            } else {
                format!("e.action = ${n}")
            });
        }
        for word in self.words().filter(|word| word.is_ascii()) {
            args.push(as_part_of_json(&word).into());
            terms.push(format!("lower(o.body) LIKE ${} ESCAPE '!'", args.len()));
        }
        for (time, compare) in [(self.since, ">="), (self.until, "<")] {
            if let Some(time) = time {
                args.push(time.into());
                terms.push(format!("e.time {compare} ${}", args.len()));
            }
        }
        (terms.join(" AND "), args)
    }

    /// As [`Self::condition`] has it, of a row that was read elsewhere; but for the words.
    pub(super) fn lets_through(&self, row: &EntryRow) -> bool {
        let equal = [
            (&self.actor, Some(&row.actor)),
            (&self.subject, row.subject.as_ref()),
            (&self.application, row.application.as_ref()),
            (&self.environment, row.environment.as_ref()),
            (&self.secret, row.secret.as_ref()),
            (&self.decision, Some(&row.decision)),
            (&self.kind, Some(&row.kind)),
            (&self.scope, row.scope.as_ref()),
            (&self.request, row.request.as_ref()),
        ];
        let is_action = |action: &String| {
            if action.ends_with('.') { row.action.starts_with(action) } else { row.action == *action }
        };
        equal.iter().all(|(wanted, found)| wanted.as_ref().is_none_or(|it| Some(it) == *found))
            && self.action.as_ref().is_none_or(is_action)
            && self.since.is_none_or(|since| row.time >= since.as_millis())
            && self.until.is_none_or(|until| row.time < until.as_millis())
    }

    fn words(&self) -> impl Iterator<Item = String> {
        self.reason.as_deref().unwrap_or("").split_whitespace().map(str::to_lowercase)
    }

    /// Whether the words stand in what an entry gives as its reason: the condition only knows that they
    /// stand somewhere beside it.
    fn fits(&self, opened: &Opened) -> bool {
        let reason = opened.field("reason").unwrap_or("").to_lowercase();
        self.words().all(|word| reason.contains(&word))
    }

    fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// A pattern of LIKE for text that holds `word` as JSON writes it.
fn as_part_of_json(word: &str) -> String {
    let written = Value::from(word).to_string();
    let inner = written.trim_matches('"');
    let mut pattern = String::from("%");
    for letter in inner.chars() {
        if ['%', '_', '!'].contains(&letter) {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// An entry, as readers get it. Every field that was committed to was recomputed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the log; the first is 0.
    pub index: u64,
    /// When (RFC 3339).
    pub time: Timestamp,
    /// `act`, `denial`, `intent` or `outcome`.
    pub kind: String,
    /// What was done, dotted.
    pub action: String,
    /// `allow` or `deny`.
    pub decision: String,
    /// Who: `per_…` or `service/…`.
    pub actor: Option<String>,
    /// Whom it is about.
    pub subject: Option<String>,
    /// To what.
    pub resource: Option<String>,
    /// Where: `APPLICATION/ENVIRONMENT[@TEAM][/SECRET]`.
    pub at: Option<String>,
    /// By which trust scope.
    pub scope: Option<String>,
    /// For which request.
    pub request: Option<String>,
    /// Why, in the words of whoever did it. Text: never interpret it.
    pub reason: Option<String>,
    /// From where.
    pub network: Option<String>,
    /// What else is to be known.
    pub payload: Map<String, Value>,
    /// Fields that were forgotten.
    pub forgotten: Vec<String>,
    /// Fields whose openings are not there.
    pub missing: Vec<String>,
}

impl Entry {
    pub(super) fn new(row: &EntryRow, opened: &Opened) -> Result<Self> {
        let field = |name: &str| opened.field(name).map(str::to_owned);
        let pseudonym = |name: &str, column: Option<&String>| {
            column.filter(|_| opened.forgotten.contains_key(name)).cloned()
        };
        let mut payload = opened.payload().map_err(|why| super::opened::entry_altered(row.index(), &why))?;
        // By what the entry commits to; the columns beside it are only there to search by.
        let mut taken = |name: &str| match payload.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (at, scope, request) = (taken("at"), taken("scope"), taken("request"));
        Ok(Self {
            index: row.index(),
            time: Timestamp::from_millis(row.time),
            kind: row.kind.clone(),
            action: row.action.clone(),
            decision: row.decision.clone(),
            actor: field("actor").or_else(|| pseudonym("actor", Some(&row.actor))),
            subject: field("subject").or_else(|| pseudonym("subject", row.subject.as_ref())),
            resource: field("resource"),
            at,
            scope,
            request,
            reason: field("reason"),
            network: field("network"),
            payload,
            forgotten: opened.forgotten.keys().cloned().collect(),
            missing: opened.missing.clone(),
        })
    }
}

/// A page of entries, the newest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// Entries of its time that lie in the archive: these were not looked at.
    pub archived: Vec<ArchivedRange>,
    /// They.
    pub items: Vec<Entry>,
    /// Where the next page begins: entries before this index. Nothing where there are none.
    pub next: Option<u64>,
}

/// Records that the log was read.
pub(super) struct NoteReading {
    pub(super) permit: Permit,
    pub(super) action: &'static str,
    pub(super) filter: Value,
}

#[async_trait]
impl Unit for NoteReading {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        work.record(Draft::act(self.action).resource("log").with("filter", self.filter.clone()));
        Ok(())
    }
}

/// Asks the log. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    pub(super) database: Database,
    pub(super) log: Log,
    pub(super) entries: Entries,
    witnesses: Arc<WitnessPolicy>,
}

impl Reader {
    /// A reader of this log.
    #[must_use]
    pub fn new(database: Database, log: Log) -> Self {
        let entries = Entries::new(database.clone(), None);
        Self { database, log, entries, witnesses: Arc::default() }
    }

    /// It reads entries wherever these are.
    #[must_use]
    pub fn with_entries(self, entries: Entries) -> Self {
        Self { entries, ..self }
    }

    /// Its exports bear the cosignatures of these witnesses.
    #[must_use]
    pub fn with_witnesses(self, witnesses: Arc<WitnessPolicy>) -> Self {
        Self { witnesses, ..self }
    }

    async fn note(&self, permit: Permit, action: &'static str, filter: &Filter) -> Result<()> {
        permit.expect(Action::ReadLog)?;
        self.log.perform(NoteReading { permit, action, filter: filter.to_json() }).await
    }

    /// A page of entries, the newest first; those before index `before`. That the log was read is
    /// recorded.
    ///
    /// # Errors
    /// `invalid-request`; `log-altered` where an entry does not fit what lies beside it; else what
    /// recording answers.
    pub async fn entries(
        &self,
        permit: Permit,
        filter: &Filter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page> {
        filter.check()?;
        // Taken before reading is recorded, so that a page never begins with its own entry.
        let before = before.unwrap_or_else(|| self.log.head().size);
        self.note(permit, "log.read", filter).await?;
        let limit = limit.clamp(1, LARGEST_PAGE);
        let lowest = if filter.reason.is_some() { before.saturating_sub(LOOKED_THROUGH) } else { 0 };
        let range = Range { from: lowest, before, order: Order::NewestFirst, limit };
        let rows = self.rows(filter, &range).await?;
        let is_full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
        let next = if is_full { rows.last().map(EntryRow::index) } else { Some(lowest) };
        // Asked for last: what is moved meanwhile is said, too.
        let archived = self.archived(filter, next.unwrap_or(0), before).await?;
        Ok(Page { items: read(filter, &rows)?, next: next.filter(|next| *next > 0), archived })
    }

    /// Names that `filter` asks for and that nothing in the log has. For readers whose right was looked at.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn unknown(&self, filter: &Filter) -> Result<Vec<UnknownName>> {
        unknown(&self.database, filter).await
    }

    /// Archived entries from `from` to before `before` that may be of the time that is asked for.
    async fn archived(&self, filter: &Filter, from: u64, before: u64) -> Result<Vec<ArchivedRange>> {
        let mut found = ranges::within(&self.database, from, before).await?;
        found.retain(|range| {
            filter.since.is_none_or(|since| range.newest >= since)
                && filter.until.is_none_or(|until| range.oldest < until)
        });
        Ok(found)
    }

    /// Begins to follow the log: that is recorded. Answers with the index of the first entry to come.
    ///
    /// # Errors
    /// As [`Self::entries`].
    pub async fn follow(&self, permit: Permit, filter: &Filter) -> Result<u64> {
        filter.check()?;
        let from = self.log.head().size;
        self.note(permit, "log.followed", filter).await?;
        Ok(from)
    }

    /// The entries from index `from` on, the oldest first, at most a page of them; and the index to go on
    /// from. For readers whose right was looked at, and whose reading was recorded when it began.
    ///
    /// # Errors
    /// `log-altered`; else a problem of the database.
    pub async fn after(&self, filter: &Filter, from: u64) -> Result<(Vec<Entry>, u64)> {
        let size = self.log.head().size;
        let before = if filter.reason.is_some() { size.min(from + LOOKED_THROUGH) } else { size };
        let range = Range { from, before, order: Order::OldestFirst, limit: LARGEST_PAGE };
        let rows = self.rows(filter, &range).await?;
        let is_full = rows.len() == usize::try_from(LARGEST_PAGE).unwrap_or(usize::MAX);
        let next = match rows.last() {
            Some(last) if is_full => last.index() + 1,
            _ => before.max(from),
        };
        Ok((read(filter, &rows)?, next))
    }

    async fn rows(&self, filter: &Filter, range: &Range) -> Result<Vec<EntryRow>> {
        if filter.action.as_ref().is_some_and(|action| action.ends_with('.')) {
            return self.rows_alike(filter, range).await;
        }
        self.rows_of(filter, range).await
    }

    /// In one query.
    async fn rows_of(&self, filter: &Filter, range: &Range) -> Result<Vec<EntryRow>> {
        let (condition, mut args) = filter.condition();
        let first = args.len() + 1;
        args.extend([as_i64(range.from).into(), as_i64(range.before).into(), i64::from(range.limit).into()]);
        let text = format!(
            "{ROWS} WHERE {condition} AND e.idx >= ${first} AND e.idx < ${} ORDER BY e.idx {} LIMIT ${}",
            first + 1,
            if range.is_newest_first() { "DESC" } else { "ASC" },
            first + 2
        );
        Ok(self.database.fetch_all(Query::composed(text, args)).await?)
    }

    /// Begins an export of what `filter` lets through, bound to the newest checkpoint. That it was made
    /// is recorded first.
    ///
    /// # Errors
    /// `conflict` where nothing was signed yet; else as [`Self::entries`].
    pub async fn export(&self, permit: Permit, filter: Filter, keys: &[VerifierKey]) -> Result<Export> {
        self.export_as(Format::Ndjson, permit, filter, keys).await
    }

    /// The same in another format.
    ///
    /// # Errors
    /// As [`Self::export`].
    pub async fn export_as(
        &self,
        format: Format,
        permit: Permit,
        filter: Filter,
        keys: &[VerifierKey],
    ) -> Result<Export> {
        filter.check()?;
        self.note(permit, "log.exported", &filter).await?;
        let now = self.log.now();
        let note = note_for_export(&self.database, &self.witnesses, now).await?.ok_or_else(nothing_signed)?;
        let checkpoint = Checkpoint::open_any(&note, keys)?;
        let state = ExportState::Header(note);
        let (database, entries) = (self.database.clone(), self.entries.clone());
        Ok(Export { database, entries, filter, format, checkpoint, next: 0, lines: 0, state })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    NewestFirst,
    OldestFirst,
}

/// Which rows, in which order.
#[derive(PartialEq, Eq)]
struct Range {
    from: u64,
    before: u64,
    order: Order,
    limit: u32,
}

impl Range {
    fn is_newest_first(&self) -> bool {
        self.order == Order::NewestFirst
    }

    /// So many entries of it, those that come first.
    fn near(&self, count: u64) -> Self {
        let (from, before) = match self.order {
            Order::NewestFirst => (self.from.max(self.before.saturating_sub(count)), self.before),
            Order::OldestFirst => (self.from, self.before.min(self.from.saturating_add(count))),
        };
        Self { from, before, ..*self }
    }
}

/// The entries of rows, without those that only look as if they fitted.
fn read(filter: &Filter, rows: &[EntryRow]) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let opened = row.open()?;
        if filter.fits(&opened) {
            entries.push(Entry::new(row, &opened)?);
        }
    }
    Ok(entries)
}

/// No checkpoint was signed yet.
pub(crate) fn nothing_signed() -> Problem {
    Problem::new(ProblemKind::Conflict, "the log has no signed checkpoint yet")
        .remedy("Try again in a second: it is signed after the first entry.")
}

/// An export under way: lines, a piece at a time.
pub struct Export {
    database: Database,
    entries: Entries,
    filter: Filter,
    format: Format,
    checkpoint: Checkpoint,
    next: u64,
    lines: u64,
    state: ExportState,
}

enum ExportState {
    Header(String),
    Entries,
    Done,
}

impl Export {
    /// The next lines, each with its newline; nothing after the last.
    ///
    /// # Errors
    /// `log-altered`: then the export has no last line, and verifying it says that it is cut off.
    pub async fn next(&mut self) -> Result<Option<String>> {
        match std::mem::replace(&mut self.state, ExportState::Entries) {
            ExportState::Header(note) if self.format != Format::Ndjson => {
                Ok(Some(self.format.begin(&note, &self.bound())))
            }
            ExportState::Header(checkpoint) => line(&ExportHeader {
                port_control_export: 1,
                checkpoint,
                filtered: !self.filter.is_empty(),
                filter: self.filter.to_json(),
                range: None,
            })
            .map(Some),
            ExportState::Entries if self.next < self.checkpoint.size => self.entries().await.map(Some),
            ExportState::Entries => {
                self.state = ExportState::Done;
                if self.format != Format::Ndjson {
                    return Ok(Some(self.format.end(self.lines, &self.bound())));
                }
                line(&ExportEnd { entries: self.lines }).map(Some)
            }
            ExportState::Done => {
                self.state = ExportState::Done;
                Ok(None)
            }
        }
    }

    fn bound(&self) -> Bound<'_> {
        let (filtered, filter) = (!self.filter.is_empty(), self.filter.to_json());
        Bound { checkpoint: &self.checkpoint, filtered, filter }
    }

    async fn entries(&mut self) -> Result<String> {
        // What says that something was forgotten is always among them: it is verified with.
        let wanted = Which::FitOrForgot(&self.filter);
        let (rows, next) = self.entries.next(&wanted, self.next, self.checkpoint.size, AT_ONCE).await?;
        let mut text = String::new();
        for row in &rows {
            if self.filter.fits(&row.open()?) {
                text.push_str(&self.entry(row).await?);
                self.lines += 1;
            }
        }
        self.next = next;
        Ok(text)
    }

    async fn entry(&self, row: &EntryRow) -> Result<String> {
        let opened = row.open()?;
        if opened.forgotten.values().any(|by| *by >= self.checkpoint.size) {
            return Err(Problem::conflict("something was forgotten after the checkpoint of this export")
                .remedy("Export again."));
        }
        if self.format != Format::Ndjson {
            return Ok(self.format.entry(&Entry::new(row, &opened)?, &self.bound()));
        }
        let proof = if self.filter.is_empty() {
            None
        } else {
            let mut tree = TreeReader::new(&self.database, self.checkpoint.size);
            Some(tree.inclusion(row.index()).await?.iter().map(|hash| hex::encode(hash)).collect())
        };
        let leaf = String::from_utf8(row.leaf.clone())
            .map_err(|_| super::opened::entry_altered(row.index(), "it is no text"))?;
        line(&ExportLine { index: row.index(), leaf, openings: row.openings()?, proof })
    }
}

pub(super) fn line(value: &impl Serialize) -> Result<String> {
    let text =
        serde_json::to_string(value).map_err(|e| Problem::internal(format!("writing an export: {e}")))?;
    Ok(text + "\n")
}
