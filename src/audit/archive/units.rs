//! What the log says of its archive: an entry before anything leaves the database, and one when its rows go.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::ranges::{self, ArchivedRange};
use crate::{
    audit::{
        Authority, Draft, IntentOutcome, Unit, Work,
        forgotten::{FORGOT, Forgotten},
        log_keys::ADDED,
        retention,
        tile::as_i64,
    },
    base::{
        Problem, Result,
        ids::{IntentId, PersonId},
    },
    policy::Permit,
    store::{Database, Query, sql},
};

/// This room in the table of intents.
const ROOM: &str = "audit";
/// What the entry is called that says that entries were moved.
pub(in crate::audit) const ARCHIVED: &str = "log.archived";

/// What was begun, and has to be brought to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(super) enum Begun {
    /// Entries are copied to the archive; their rows have not gone yet.
    Moving { from: u64, to: u64, archive: String },
    /// Openings of an archived tile are destroyed, as the entry `by` says.
    Forgetting { tile: u64, gone: Vec<(u64, String)>, by: u64, pseudonym: String },
}

/// Something begun, with its intent.
pub(super) struct Open {
    pub(super) id: IntentId,
    pub(super) begun: Begun,
}

/// Everything that was begun and has not come to its end, the oldest first.
pub(super) async fn open(database: &Database) -> Result<Vec<Open>> {
    let query =
        sql("SELECT id, body FROM intents WHERE room = $1 AND state IN ('open', 'unknown') ORDER BY id");
    let rows: Vec<(String, String)> = database.fetch_all(query.bind(ROOM)).await?;
    let read = |(id, body): (String, String)| {
        let begun = serde_json::from_str(&body).map_err(|_| Problem::internal("an intent cannot be read"))?;
        Ok(Open { id: id.parse().map_err(Problem::internal)?, begun })
    };
    rows.into_iter().map(read).collect()
}

fn body(begun: &Begun) -> Result<serde_json::Value> {
    serde_json::to_value(begun).map_err(|e| Problem::internal(e.to_string()))
}

fn about(from: u64, to: u64, archive: &str) -> impl Fn(&str) -> Draft {
    move |action| {
        Draft::act(action).resource("log").with("from", from).with("to", to).with("archive", archive)
    }
}

/// Says that a range is about to be copied.
pub(super) struct BeginMoving {
    pub(super) permit: Permit,
    pub(super) range: (u64, u64),
    pub(super) archive: String,
}

#[async_trait]
impl Unit for BeginMoving {
    type Output = IntentId;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<IntentId> {
        let (from, to) = self.range;
        let moving = Begun::Moving { from, to, archive: self.archive.clone() };
        let draft = about(from, to, &self.archive)("log.archiving");
        work.open_intent(ROOM, &format!("{from}-{to}"), &body(&moving)?, draft).await
    }
}

/// Takes the rows of a range that was copied.
pub(super) struct Move {
    pub(super) permit: Permit,
    pub(super) intent: IntentId,
    pub(super) range: ArchivedRange,
    /// Root of the tree up to its end.
    pub(super) root: String,
    /// Holds that were looked at.
    pub(super) holds: Vec<String>,
    /// How large the log was before the first row was copied.
    pub(super) size: u64,
}

#[async_trait]
impl Unit for Move {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        self.refuse_news(work).await?;
        let (from, to) = (as_i64(self.range.from), as_i64(self.range.to));
        // What says what was forgotten or moved, or which key takes over, is asked for here.
        let text = format!(
            "DELETE FROM entries WHERE idx >= $1 AND idx < $2 AND action NOT IN ('{FORGOT}', '{ARCHIVED}', '{ADDED}')"
        );
        work.execute(Query::composed(text, vec![from.into(), to.into()])).await?;
        work.execute(
            sql("DELETE FROM openings WHERE entry >= $1 AND entry < $2 \
                 AND entry NOT IN (SELECT idx FROM entries WHERE idx >= $1 AND idx < $2)")
            .bind(from)
            .bind(to),
        )
        .await?;
        ranges::note(work, &self.range).await?;
        let draft = about(self.range.from, self.range.to, &self.range.archive)(ARCHIVED);
        work.close_intent(self.intent, IntentOutcome::Done, draft.with("root", self.root.as_str())).await
    }
}

impl Move {
    /// What came between the copy and now: it is copied again then.
    async fn refuse_news(&self, work: &mut Work<'_>) -> Result<()> {
        let standing: Vec<(String,)> =
            work.fetch_all(sql("SELECT id FROM holds WHERE released_at IS NULL")).await?;
        if standing.iter().any(|(id,)| !self.holds.contains(id)) {
            return Err(Problem::conflict("a hold was made while entries were copied"));
        }
        let text = format!("SELECT idx FROM entries WHERE action = '{FORGOT}' AND idx >= $1 LIMIT 1");
        let news: Option<(i64,)> =
            work.fetch_optional(Query::composed(text, vec![as_i64(self.size).into()])).await?;
        match news {
            None => Ok(()),
            Some(_) => Err(Problem::conflict("something was forgotten while entries were copied")),
        }
    }
}

/// Says that a range was not moved after all; what was copied of it is gone again.
pub(super) struct GiveUp {
    pub(super) permit: Permit,
    pub(super) intent: IntentId,
    pub(super) range: (u64, u64),
    pub(super) archive: String,
}

#[async_trait]
impl Unit for GiveUp {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let draft = about(self.range.0, self.range.1, &self.archive)("log.archiving");
        work.close_intent(self.intent, IntentOutcome::Failed, draft).await
    }
}

/// Says which openings of an archived tile are about to be destroyed.
pub(in crate::audit) struct BeginForgetting {
    pub(in crate::audit) permit: Permit,
    pub(in crate::audit) person: PersonId,
    pub(in crate::audit) retention: std::time::Duration,
    pub(in crate::audit) reason: String,
    pub(in crate::audit) tile: u64,
    pub(in crate::audit) said: Forgotten,
    pub(in crate::audit) gone: Vec<(u64, String)>,
}

#[async_trait]
impl Unit for BeginForgetting {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        retention::may_be_forgotten(work, self.person, self.retention).await?;
        let begun = Begun::Forgetting {
            tile: self.tile,
            gone: self.gone.clone(),
            by: work.next_index(),
            pseudonym: self.said.pseudonym.clone(),
        };
        let draft = self.said.draft(&self.reason)?.with("in", "archive");
        work.open_intent(ROOM, &self.said.pseudonym, &body(&begun)?, draft).await.map(drop)
    }
}

/// Says that they are.
pub(super) struct EndForgetting {
    pub(super) permit: Permit,
    pub(super) intent: IntentId,
    pub(super) pseudonym: String,
}

#[async_trait]
impl Unit for EndForgetting {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let draft = Draft::act(FORGOT).resource(&self.pseudonym).with("in", "archive");
        work.close_intent(self.intent, IntentOutcome::Done, draft).await
    }
}
