//! Forgetting a person in the archive: what is about to go is an entry, then the openings go from the
//! archive's file, then an entry says that they are gone. Whoever stops in between is gone on from.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Archivist, Entries,
    ranges::ArchivedRange,
    units::{self, BeginForgetting, Begun, EndForgetting, Open},
};
use crate::{
    audit::{
        checkpoint::{newest, newest_size},
        forget::{Whom, to_forget},
        forgotten::{Forgotten, Spans},
        read::nothing_signed,
        tile::WIDTH,
    },
    base::{Problem, ProblemKind, Result, Timestamp, ids::IntentId, time::Stopwatch},
    policy::Permit,
    store::Database,
};

/// Whose turn it is to replace files of the archive.
const REPLACING: &str = "archive openings";
/// How long is waited for that, and for a signature.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What is to be forgotten in one tile.
pub(in crate::audit) struct Wish<'w> {
    pub(in crate::audit) whom: &'w Whom,
    pub(in crate::audit) pseudonym: &'w str,
    pub(in crate::audit) reason: &'w str,
    pub(in crate::audit) retention: Duration,
    /// Entries from then on stay as they are.
    pub(in crate::audit) before: Timestamp,
}

impl Archivist {
    /// Which fields of the archived tile of entry `index` name her, and in which entries.
    pub(in crate::audit) async fn naming(
        &self,
        wish: &Wish<'_>,
        index: u64,
        range: &ArchivedRange,
    ) -> Result<Vec<(u64, String)>> {
        let tile = index / WIDTH;
        // What was begun and not ended is not to be asked for twice.
        self.end_forgotten(Some(tile)).await?;
        let entries = Entries::new(self.0.database.clone(), Some(self.0.archive.clone()));
        let mut found = Vec::new();
        for row in entries.rows_of(tile, range).await? {
            if row.time < wish.before.as_millis() {
                let fields = to_forget(&row.open()?, wish.whom);
                found.extend(fields.into_iter().map(|field| (row.index(), field)));
            }
        }
        Ok(found)
    }

    /// Takes away what was found in one tile: from how many entries, and how many openings.
    pub(in crate::audit) async fn forget(
        &self,
        permit: Permit,
        wish: &Wish<'_>,
        found: Vec<(u64, String)>,
    ) -> Result<(u64, u64)> {
        let mut fields: BTreeMap<String, Spans> = BTreeMap::new();
        let mut entries = BTreeSet::new();
        for (index, field) in &found {
            fields.entry(field.clone()).or_default().push(*index);
            entries.insert(*index);
        }
        let tile = entries.first().map_or(0, |index| index / WIDTH);
        let (entries, openings) = (entries.len() as u64, found.len() as u64);
        let begin = BeginForgetting {
            permit,
            person: wish.whom.person,
            retention: wish.retention,
            reason: wish.reason.to_owned(),
            tile,
            said: Forgotten { pseudonym: wish.pseudonym.to_owned(), fields },
            gone: found,
        };
        self.0.log.perform(begin).await?;
        self.end_forgotten(Some(tile)).await?;
        Ok((entries, openings))
    }

    /// Brings to its end what was begun to be forgotten: in one tile, or everywhere.
    ///
    /// # Errors
    /// `archive-unavailable`; `conflict` where it takes too long: called again, it goes on.
    pub(in crate::audit) async fn end_forgotten(&self, tile: Option<u64>) -> Result<()> {
        for Open { id, begun } in units::open(&self.0.database).await? {
            let is_it = match &begun {
                Begun::Forgetting { tile: of, .. } => tile.is_none_or(|tile| tile == *of),
                Begun::Moving { .. } => false,
            };
            if is_it {
                self.end_forgetting(id, begun).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn end_forgetting(&self, intent: IntentId, begun: Begun) -> Result<()> {
        let Begun::Forgetting { tile, gone, by, pseudonym } = begun else { return Ok(()) };
        self.signed(by).await?;
        let turn = self.turn(REPLACING);
        let since = Stopwatch::start();
        while !turn.take(&self.0.database, &self.0.ambient).await? {
            if since.elapsed() > PATIENCE {
                return Err(Problem::conflict("somebody else is replacing files of the log's archive")
                    .remedy("Try again in a moment."));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let replaced = self.replace(tile, &gone, by).await;
        turn.give_back(&self.0.database).await;
        replaced?;
        let end = EndForgetting { permit: self.permit()?, intent, pseudonym };
        match self.0.log.perform(end).await {
            // Whoever else saw it brought it to its end, too.
            Err(problem) if problem.is(ProblemKind::Conflict) => Ok(()),
            outcome => outcome,
        }
    }

    async fn replace(&self, tile: u64, gone: &[(u64, String)], by: u64) -> Result<()> {
        let keys = self.verifiers().await?;
        let note = newest(&self.0.database).await?.ok_or_else(nothing_signed)?;
        // What says so is there before the openings go: the archive verifies at any moment.
        self.copy(&keys).said(by, &note).await?;
        self.copy(&keys).forget(tile, gone, by).await
    }

    /// Waits until the entry `by` is signed: the archive has to prove that it says so.
    async fn signed(&self, by: u64) -> Result<()> {
        let since = Stopwatch::start();
        while newest_size(&self.0.database).await? <= by {
            if since.elapsed() > PATIENCE {
                return Err(Problem::conflict("the log was not signed in time")
                    .remedy("Try again: what was begun is brought to its end."));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

/// Refuses while something is under way to the archive or in it that may still name somebody.
pub(in crate::audit) async fn refuse_under_way(database: &Database) -> Result<()> {
    let Some(open) = units::open(database).await?.into_iter().next() else { return Ok(()) };
    let detail = match open.begun {
        Begun::Moving { from, to, archive } => {
            format!("entries {from} to {} are being moved to the archive {archive}", to - 1)
        }
        Begun::Forgetting { tile, .. } => {
            format!("entries from {} on are being forgotten in the archive", tile * WIDTH)
        }
    };
    Err(Problem::conflict(detail)
        .remedy("Say it again once that is done; the server's log says what holds it up, if anything."))
}
