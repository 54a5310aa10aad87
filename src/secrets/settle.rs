//! Changes in a remote engine: the intent before, the outcome after, and looking into those that have
//! none.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    Made, Place, RemoteEngine, Removal, Secrets,
    exposure::{How, Knower, note},
    place::Home,
    remove::mark,
    rows::{NewVersion, add_version, secret_in, secret_or_new, version_in},
    write::{expect_newest, is_current},
};
use crate::{
    audit::{Authority, Draft, IntentOutcome, Unit, Work},
    base::{Name, Problem, ProblemKind, Result, SecretRef, hex, ids::IntentId},
    policy::{Action, EnvironmentFacts, Permit, Resource, Service},
    store::sql,
};

/// This room in the table of intents.
const ROOM: &str = "secrets";
/// An intent that is younger may still be under way: every call of an engine ends earlier.
const UNDER_WAY: Duration = Duration::from_secs(30);
/// How often is looked for intents without an outcome.
const INTERVAL: Duration = Duration::from_secs(10);

/// What is about to be done in the engine: enough to find out later whether it was. No value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) at: SecretRef,
    /// The application's owner and whether the environment is protected: what the permit for noting the
    /// outcome is about, even where no file declares it any more.
    pub(super) team: Option<Name>,
    pub(super) protected: bool,
    /// Whoever began it, as the log names her.
    pub(super) by: String,
    /// The trust scope that allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<Name>,
    /// Where it is done: files may move the secret before the outcome is known.
    pub(super) place: Place,
    pub(super) op: Op,
}

/// The change itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "op")]
pub(super) enum Op {
    /// A new version.
    Write {
        /// The number that the engine gives it.
        engine_version: u64,
        /// Recognises the value.
        #[serde(with = "hex_text")]
        fingerprint: [u8; 32],
        /// Where the value comes from.
        origin: String,
        /// Whether whoever began it knows the value.
        exposed: bool,
    },
    /// A version is deleted, undeleted or destroyed.
    Remove {
        /// Which.
        removal: Removal,
        /// Our number of it.
        number: i64,
        /// The engine's.
        engine_version: u64,
    },
}

mod hex_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use super::hex;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(&text)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| D::Error::custom("not 32 bytes in hexadecimal"))
    }
}

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Done,
    NotDone,
    Unknown,
}

impl Secrets {
    /// Notes what is about to be done, under the permit of whoever does it.
    pub(super) async fn begin(
        &self,
        permit: Permit,
        pending: Pending,
        draft: Draft,
        expect: Option<i64>,
    ) -> Result<IntentId> {
        self.it.log.perform(Begin { permit, pending, draft, expect }).await
    }

    /// Notes what came of it. What cannot be noted now is looked into later.
    pub(super) async fn conclude(
        &self,
        intent: IntentId,
        home: &Home,
        pending: &Pending,
        outcome: Result<()>,
    ) -> Result<Option<Made>> {
        let finding = match &outcome {
            Ok(()) => Finding::Done,
            Err(problem) if was_refused(problem) => Finding::NotDone,
            // It may have been done all the same: the answer was lost, late, or nonsense.
            Err(_) => Finding::Unknown,
        };
        let noted = self.note_outcome(intent, home, pending.clone(), finding).await;
        match outcome {
            Ok(()) => noted.map_err(|problem| unknown(&pending.at, &problem)),
            Err(problem) if finding == Finding::Unknown => Err(unknown(&pending.at, &problem)),
            Err(problem) => Err(problem),
        }
    }

    async fn note_outcome(
        &self,
        intent: IntentId,
        home: &Home,
        pending: Pending,
        finding: Finding,
    ) -> Result<Option<Made>> {
        let environment = EnvironmentFacts {
            at: pending.at.environment.clone(),
            owner: pending.team.clone(),
            protected: pending.protected,
        };
        let permit =
            self.it.permits.permit(Service::Secrets, Action::Settle, Resource::Environment(environment))?;
        let (engine, location) = (home.engine_name(), home.location());
        self.it.log.perform(Settle { permit, intent, pending, finding, engine, location }).await
    }

    /// Looks into changes without an outcome again and again until `stop`, and keeps the keys fresh.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(problem) = self.look_into_unknown().await {
                tracing::warn!(%problem, "changes in the engine without an outcome could not be looked into");
            }
            if let Err(problem) = self.it.keys.reload().await {
                tracing::warn!(%problem, "the keys could not be read again");
            }
            let _ = tokio::time::timeout(INTERVAL, stop.cancelled()).await;
        }
    }

    /// Looks into every change that has had no outcome for a while; how many got one.
    ///
    /// # Errors
    /// A problem of the database. What the engine keeps from being known is said, and looked into again.
    pub async fn look_into_unknown(&self) -> Result<usize> {
        let before = self.it.ambient.now().before(UNDER_WAY);
        let (mut settled, mut last) = (0, String::new());
        loop {
            let rows: Vec<(String, String)> = self
                .it
                .database
                .fetch_all(
                    sql("SELECT id, body FROM intents WHERE room = $1 AND state IN ('open', 'unknown') \
                         AND opened_at <= $2 AND id > $3 ORDER BY id LIMIT 100")
                    .bind(ROOM)
                    .bind(before)
                    .bind(last.as_str()),
                )
                .await?;
            let Some((id, _)) = rows.last() else { return Ok(settled) };
            last.clone_from(id);
            for (id, body) in rows {
                // One that cannot be looked into must not keep the others waiting.
                match self.look_into(&id, &body).await {
                    Ok(()) => settled += 1,
                    Err(problem) => {
                        tracing::warn!(%problem, intent = id, "a change could not be looked into");
                    }
                }
            }
        }
    }

    async fn look_into(&self, id: &str, body: &str) -> Result<()> {
        let intent: IntentId = id.parse().map_err(|_| Problem::internal("a stored id cannot be read"))?;
        let pending: Pending =
            serde_json::from_str(body).map_err(|_| Problem::internal("a stored intent cannot be read"))?;
        let engine = self.it.remote.clone().ok_or_else(|| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                format!("a change of '{}' began in an engine that this server does not have now", pending.at),
            )
        })?;
        let finding = self.look(engine.as_ref(), &pending).await?;
        let home = Home::Remote { engine, place: pending.place.clone(), writable: true };
        self.note_outcome(intent, &home, pending, finding).await.map(drop)
    }

    /// Compares what was meant with what is there.
    async fn look(&self, engine: &dyn RemoteEngine, pending: &Pending) -> Result<Finding> {
        let place = &pending.place;
        match &pending.op {
            Op::Write { engine_version, fingerprint, .. } => {
                if engine.newest(place).await? < *engine_version {
                    return Ok(Finding::NotDone);
                }
                let stored = engine.read(place, Some(*engine_version)).await?;
                let is_ours = stored.is_some_and(|it| self.it.keys.fingerprint(&it.value) == *fingerprint);
                Ok(if is_ours { Finding::Done } else { Finding::NotDone })
            }
            // It is only looked at, never done now: whoever began it may be gone.
            Op::Remove { removal, engine_version, .. } => {
                let state = engine.state(place, *engine_version).await?;
                Ok(if removal.is_done_in(state) { Finding::Done } else { Finding::NotDone })
            }
        }
    }
}

/// Whether the engine said that it did nothing.
fn was_refused(problem: &Problem) -> bool {
    use ProblemKind::{Conflict, InvalidRequest, PreconditionFailed};
    [PreconditionFailed, Conflict, InvalidRequest].iter().any(|kind| problem.is(*kind))
}

/// Deletes, undeletes or destroys one version.
pub(super) async fn remove_in(
    engine: &dyn RemoteEngine,
    place: &super::Place,
    removal: Removal,
    engine_version: u64,
) -> Result<()> {
    match removal {
        Removal::Delete => engine.delete(place, &[engine_version]).await,
        Removal::Undelete => engine.undelete(place, &[engine_version]).await,
        Removal::Destroy => engine.destroy(place, &[engine_version]).await,
    }
}

fn unknown(at: &SecretRef, why: &Problem) -> Problem {
    Problem::new(
        ProblemKind::OutcomeUnknown,
        format!("whether '{at}' was changed is not known yet: {}", why.detail),
    )
    .remedy(format!("It is being looked into; `portctl secret versions {at}` shows it once it is known."))
}

struct Begin {
    permit: Permit,
    pending: Pending,
    draft: Draft,
    expect: Option<i64>,
}

#[async_trait]
impl Unit for Begin {
    type Output = IntentId;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<IntentId> {
        let at = &self.pending.at;
        expect_newest(secret_in(work, at).await?.as_ref(), at, self.expect)?;
        expect_settled(work, at).await?;
        let body = serde_json::to_value(&self.pending).map_err(|e| Problem::internal(e.to_string()))?;
        work.open_intent(ROOM, &at.to_string(), &body, self.draft.clone()).await
    }
}

/// Refuses while another change of the secret has no outcome: versions are numbered in the order in which
/// the engine has them, and looking into an older change never undoes a newer one.
async fn expect_settled(work: &mut Work<'_>, at: &SecretRef) -> Result<()> {
    let under_way: Option<(String,)> = work
        .fetch_optional(
            sql("SELECT id FROM intents \
                 WHERE room = $1 AND subject = $2 AND state IN ('open', 'unknown') LIMIT 1")
            .bind(ROOM)
            .bind(at.to_string()),
        )
        .await?;
    match under_way {
        None => Ok(()),
        Some(_) => Err(Problem::conflict(format!("another change of '{at}' has no outcome yet"))
            .remedy("Try again in a minute: what became of it is being looked into.")),
    }
}

struct Settle {
    permit: Permit,
    intent: IntentId,
    pending: Pending,
    finding: Finding,
    engine: &'static str,
    location: Option<String>,
}

#[async_trait]
impl Unit for Settle {
    type Output = Option<Made>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Option<Made>> {
        let at = &self.pending.at;
        let draft = Draft::act("secret.settled")
            .secret(&at.environment, &at.name)
            .with("by", self.pending.by.as_str());
        let (outcome, made) = match self.finding {
            Finding::Done => (IntentOutcome::Done, self.take(work).await?),
            Finding::NotDone => (IntentOutcome::Failed, None),
            Finding::Unknown => (IntentOutcome::Unknown, None),
        };
        let draft = match &made {
            Some(made) => draft.with("version", made.number).with("equal", made.equal_to_previous),
            None => draft,
        };
        work.close_intent(self.intent, outcome, draft).await?;
        Ok(made)
    }
}

impl Settle {
    async fn take(&self, work: &mut Work<'_>) -> Result<Option<Made>> {
        match &self.pending.op {
            Op::Write { engine_version, fingerprint, origin, exposed } => {
                self.take_version(work, *engine_version, fingerprint, origin, *exposed).await.map(Some)
            }
            Op::Remove { removal, number, .. } => {
                mark(work, &self.pending.at, *number, *removal).await?;
                Ok(None)
            }
        }
    }

    /// The version is ours now, unless somebody who read it a moment ago took it in already.
    async fn take_version(
        &self,
        work: &mut Work<'_>,
        engine_version: u64,
        fingerprint: &[u8; 32],
        origin: &str,
        exposed: bool,
    ) -> Result<Made> {
        let engine_version = i64::try_from(engine_version).unwrap_or(i64::MAX);
        let row = secret_or_new(work, &self.pending.at, self.engine, self.location.as_deref()).await?;
        let taken: Option<(i64,)> = work
            .fetch_optional(
                sql("SELECT number FROM versions WHERE secret = $1 AND engine_version = $2")
                    .bind(row.id.as_str())
                    .bind(engine_version),
            )
            .await?;
        let (id, number, equal_to_previous) = if let Some((number,)) = taken {
            let version = version_in(work, row.id()?, number).await?;
            let id = version.ok_or_else(|| Problem::internal("a version that is there is gone"))?.id()?;
            (id, number, false)
        } else {
            let equal = is_current(work, &row, fingerprint).await?;
            let new = NewVersion {
                fingerprint: *fingerprint,
                origin,
                by: &self.pending.by,
                engine_version: Some(engine_version),
                sealed: None,
            };
            let (id, number) = add_version(work, &row, new).await?;
            (id, number, equal)
        };
        if exposed {
            let knower = Knower { principal: &self.pending.by, scope: self.pending.scope.as_ref() };
            note(work, knower, row.id()?, id, fingerprint, How::Entered).await?;
        }
        Ok(Made { id, number, equal_to_previous })
    }
}
