//! Forgetting a person: the openings that name her are destroyed, the tree stays as it is.
//!
//! The log is walked a stretch at a time. Each unit destroys some openings and drafts the entry that names
//! them, so that whoever stops half-way has lost nothing: it is walked again, and what is gone stays gone.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::{
    Authority, Log, Unit, Work,
    archive::{
        ARCHIVED, ArchivedRange, Archivist,
        forget::{Wish, refuse_under_way},
        no_archive, ranges,
    },
    forgotten::{FORGOT, Forgotten, PSEUDONYM, Spans},
    opened::{Beside, EntryRow, Opened, ROWS},
    retention,
    tile::{WIDTH, as_i64},
};
use crate::{
    base::{Problem, Result, Timestamp, hex, ids::PersonId},
    keys::Keys,
    policy::{Action, Permit},
    store::{Arg, Database, Query, sql},
};

/// Entries that one unit takes openings from.
const AT_ONCE: i64 = 48;
/// Indices that are looked at by one question.
const STRETCH: u64 = 4096;
/// Stretches that one step looks through where nothing names her.
const STRETCHES: u32 = 16;
/// What entries say of a person herself, whatever their payload holds.
const PERSONAL: &[&str] = &["session.", "person.", "login.", "recovery.", "leaver."];
/// Names that are shorter are found in too much that is none.
const SHORTEST_NAME: usize = 3;

/// Who is to be forgotten.
#[derive(Clone, Debug)]
pub struct Whom {
    /// Her id.
    pub person: PersonId,
    /// Her e-mail address; may be empty.
    pub email: String,
    /// Her name, as shown.
    pub name: String,
}

/// How far forgetting has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// What her entries call her from now on.
    pub pseudonym: String,
    /// From how many entries something was taken by this call.
    pub entries: u64,
    /// How many openings were destroyed by this call.
    pub openings: u64,
    /// Where to go on; nothing at the end of the log.
    pub next: Option<u64>,
}

/// The one name by which a forgotten person goes on: it follows from her id and a key of the server, so
/// nobody who has only the log can find out whose it is.
#[must_use]
pub fn pseudonym(keys: &Keys, person: PersonId) -> String {
    let mac = keys.mac("forgotten-person", &[person.to_string().as_bytes()]);
    format!("{PSEUDONYM}{}", hex::encode(&mac[..16]))
}

/// Destroys openings. Cheap to clone.
#[derive(Clone)]
pub struct Forgetter {
    database: Database,
    log: Log,
    keys: Keys,
    retention: Duration,
    archivist: Option<Archivist>,
}

impl Forgetter {
    /// For the log of this database, of which nothing younger than `retention` is forgotten.
    #[must_use]
    pub fn new(database: Database, log: Log, keys: Keys, retention: Duration) -> Self {
        Self { database, log, keys, retention, archivist: None }
    }

    /// With the archive that entries were moved to: she is forgotten there, too.
    #[must_use]
    pub fn with_archivist(self, archivist: Option<Archivist>) -> Self {
        Self { archivist, ..self }
    }

    /// Walks on from the index `from`, to the next entries that name her, and takes from these. It may be
    /// called again and again: what is gone stays gone.
    ///
    /// # Errors
    /// `conflict` where she is not deactivated, not long enough, or under a hold; what recording answers.
    pub async fn step(&self, permit: Permit, whom: &Whom, reason: &str, from: u64) -> Result<Walked> {
        permit.expect(Action::Forget)?;
        let size = self.log.head().size;
        let pseudonym = pseudonym(&self.keys, whom.person);
        let mut from = from;
        for _ in 0..STRETCHES {
            if from >= size {
                self.refuse_remains().await?;
                return Ok(Walked { pseudonym, entries: 0, openings: 0, next: None });
            }
            let archived = ranges::next(&self.database, from).await?;
            let end = size.min(from.saturating_add(STRETCH)).min(up_to(from, archived.as_ref()));
            let wish = self.wish(whom, &pseudonym, reason);
            let found = self.in_archive(&wish, from, archived.as_ref()).await?;
            if let (false, Some(archivist)) = (found.is_empty(), &self.archivist) {
                let (entries, openings) = archivist.forget(permit, &wish, found).await?;
                return Ok(Walked { pseudonym, entries, openings, next: Some(from) });
            }
            let first = self.first_found(whom, (from, end)).await?;
            if let Some(first) = first {
                let (entries, openings, next) = self.take_from(permit, whom, reason, (first, end)).await?;
                let next = if self.was_moved(from, archived.as_ref()).await? { from } else { next };
                return Ok(Walked { pseudonym, entries, openings, next: Some(next) });
            }
            // What was moved to the archive meanwhile was seen in neither place.
            if !self.was_moved(from, archived.as_ref()).await? {
                from = end;
            }
        }
        Ok(Walked { pseudonym, entries: 0, openings: 0, next: Some(from) })
    }

    async fn was_moved(&self, from: u64, before: Option<&ArchivedRange>) -> Result<bool> {
        Ok(ranges::next(&self.database, from).await?.as_ref() != before)
    }

    /// What names her in the archived tile of entry `from`, where that lies in `range`.
    async fn in_archive(
        &self,
        wish: &Wish<'_>,
        from: u64,
        range: Option<&ArchivedRange>,
    ) -> Result<Vec<(u64, String)>> {
        match (range.filter(|range| range.from <= from), &self.archivist) {
            (None, _) => Ok(Vec::new()),
            (Some(range), Some(archivist)) => archivist.naming(wish, from, range).await,
            (Some(range), None) => Err(no_archive(range)),
        }
    }

    fn wish<'w>(&self, whom: &'w Whom, pseudonym: &'w str, reason: &'w str) -> Wish<'w> {
        Wish { whom, pseudonym, reason, retention: self.retention, before: self.before() }
    }

    /// Entries from then on stay as they are.
    fn before(&self) -> Timestamp {
        self.log.head().time.before(self.retention)
    }

    /// Whether nothing is under way that may still name her.
    async fn refuse_remains(&self) -> Result<()> {
        if let Some(archivist) = &self.archivist {
            archivist.end_forgotten(None).await?;
        }
        refuse_under_way(&self.database).await
    }

    async fn take_from(
        &self,
        permit: Permit,
        whom: &Whom,
        reason: &str,
        stretch: (u64, u64),
    ) -> Result<(u64, u64, u64)> {
        let unit = Forget {
            permit,
            whom: whom.clone(),
            pseudonym: pseudonym(&self.keys, whom.person),
            reason: reason.to_owned(),
            stretch,
            retention: self.retention,
        };
        self.log.perform(unit).await
    }

    /// The first entry of a stretch that something is to be taken from.
    async fn first_found(&self, whom: &Whom, stretch: (u64, u64)) -> Result<Option<u64>> {
        let rows: Vec<EntryRow> = self.database.fetch_all(naming(whom, stretch, self.before())).await?;
        for row in &rows {
            if !to_forget(&row.open()?, whom).is_empty() {
                return Ok(Some(row.index()));
            }
        }
        // None of those that the question found: on behind them, where there may be more.
        Ok(match rows.last() {
            Some(last) if i64::try_from(rows.len()).is_ok_and(|n| n == AT_ONCE) => {
                Box::pin(self.first_found(whom, (last.index() + 1, stretch.1))).await?
            }
            _ => None,
        })
    }
}

/// Where a stretch from `from` on ends: archived entries are looked at by 256.
fn up_to(from: u64, archived: Option<&ArchivedRange>) -> u64 {
    match archived {
        None => u64::MAX,
        Some(range) if range.from <= from => (from / WIDTH + 1) * WIDTH,
        Some(range) => range.from,
    }
}

/// Entries of a stretch that may name her, and are old enough.
fn naming(whom: &Whom, stretch: (u64, u64), before: Timestamp) -> Query {
    let id = whom.person.to_string();
    let mut args: Vec<Arg> = vec![
        as_i64(stretch.0).into(),
        as_i64(stretch.1).into(),
        before.into(),
        id.clone().into(),
        AT_ONCE.into(),
        holding(&id).into(),
    ];
    let mut by_address = "";
    if !whom.email.is_empty() {
        args.push(holding(&whom.email.to_lowercase()).into());
        by_address = "OR lower(o.body) LIKE $7 ESCAPE '!'";
    }
    let text = format!(
        "{ROWS} WHERE e.idx >= $1 AND e.idx < $2 AND e.time < $3 AND (e.actor = $4 OR e.subject = $4 \
         OR o.body LIKE $6 ESCAPE '!' {by_address}) ORDER BY e.idx LIMIT $5"
    );
    Query::composed(text, args)
}

/// The LIKE pattern for texts that hold `text`.
fn holding(text: &str) -> String {
    format!("%{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"))
}

/// Which fields name her, or are her words or somebody's about her.
pub(super) fn to_forget(opened: &Opened, whom: &Whom) -> Vec<String> {
    let id = whom.person.to_string();
    let is = |field: &str| opened.field(field) == Some(id.as_str());
    let (is_actor, is_hers) = (is("actor"), is("actor") || is("subject"));
    let is_personal = is_hers && PERSONAL.iter().any(|start| opened.leaf.action.starts_with(start));
    // What says that something was forgotten or moved is what the log is verified with.
    let is_proof = [FORGOT, ARCHIVED].contains(&opened.leaf.action.as_str());
    let stays = |field: &str| is_proof && matches!(field, "payload" | "resource");
    let goes = |(field, value): &(&String, &String)| {
        !stays(field)
            && match field.as_str() {
                "actor" | "subject" => is(field),
                "network" => is_actor,
                "reason" => is_hers || mentions(value, whom),
                "payload" => is_personal || mentions(value, whom),
                _ => mentions(value, whom),
            }
    };
    opened.fields.iter().filter(goes).map(|(field, _)| field.clone()).collect()
}

fn mentions(text: &str, whom: &Whom) -> bool {
    let lower = text.to_lowercase();
    let holds = |name: &str| !name.is_empty() && lower.contains(&name.to_lowercase());
    text.contains(&whom.person.to_string())
        || holds(&whom.email)
        || (whom.name.chars().count() >= SHORTEST_NAME && holds(&whom.name))
}

/// Takes openings from some entries of a stretch: how many entries, how many openings, where to go on.
struct Forget {
    permit: Permit,
    whom: Whom,
    pseudonym: String,
    reason: String,
    stretch: (u64, u64),
    retention: Duration,
}

#[async_trait]
impl Unit for Forget {
    type Output = (u64, u64, u64);

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let before = retention::may_be_forgotten(work, self.whom.person, self.retention).await?;
        let rows: Vec<EntryRow> = work.fetch_all(naming(&self.whom, self.stretch, before)).await?;
        let by = work.next_index();
        let mut fields: BTreeMap<String, Spans> = BTreeMap::new();
        let (mut entries, mut openings) = (0, 0);
        for row in &rows {
            let opened = row.open()?;
            let gone = to_forget(&opened, &self.whom);
            if gone.is_empty() {
                continue;
            }
            self.take_from(work, row, &gone, by).await?;
            entries += 1;
            openings += gone.len() as u64;
            for field in gone {
                fields.entry(field).or_default().push(row.index());
            }
        }
        let said = Forgotten { pseudonym: self.pseudonym.clone(), fields };
        work.record(said.draft(&self.reason)?);
        let is_full = i64::try_from(rows.len()).is_ok_and(|n| n == AT_ONCE);
        let next = rows.last().filter(|_| is_full).map_or(self.stretch.1, |last| last.index() + 1);
        Ok((entries, openings, next))
    }
}

impl Forget {
    /// The openings go, and the search columns say no more than what is left.
    async fn take_from(&self, work: &mut Work<'_>, row: &EntryRow, gone: &[String], by: u64) -> Result<()> {
        let mut openings = row.openings()?;
        for field in gone {
            openings.insert(field.clone(), Beside::Forgotten { forgotten: by });
        }
        let body = serde_json::to_string(&openings).map_err(|e| Problem::internal(e.to_string()))?;
        work.execute(sql("UPDATE openings SET body = $2 WHERE entry = $1").bind(row.idx).bind(body)).await?;
        for column in ["actor", "subject"].into_iter().filter(|column| gone.iter().any(|it| it == column)) {
            let text = format!("UPDATE entries SET {column} = $2 WHERE idx = $1");
            let args = vec![row.idx.into(), self.pseudonym.as_str().into()];
            work.execute(Query::composed(text, args)).await?;
        }
        if gone.iter().any(|it| it == "payload") {
            work.execute(
                sql(
                    "UPDATE entries SET application = NULL, environment = NULL, secret = NULL, scope = NULL, \
                     request = NULL WHERE idx = $1",
                )
                .bind(row.idx),
            )
            .await?;
        }
        Ok(())
    }
}
