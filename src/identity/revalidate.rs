//! Asking identity providers again while people are signed in, so that whoever was suspended there is out
//! here within minutes, and groups are those of now, without anybody signing in anew.
//!
//! Level-triggered: it reads which sign-ins were used since they were last confirmed, and asks about those,
//! a few at a time. A clear no ends the browser's session and those that it let in. No answer is no no:
//! then facts grow older, and the scopes that want them young say so.

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{
    Assertion, Identity,
    caller::stored_id,
    oidc::{AskedAbout, Said},
    sessions::{end_one, move_facts},
    sign_in::said_again,
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        Problem, ProblemKind, Result, Timestamp,
        ids::{PersonId, SessionId},
    },
    policy::{Action, Permit, PersonStatus, Resource, Service},
    store::sql,
};

/// How long after a confirmation a provider is asked again, at most: before what policy allows is over.
pub(super) const ASKED_EVERY: Duration = Duration::from_mins(4);
/// By how much that is spread, so that not everybody who came at nine is asked about at once.
const SPREAD: Duration = Duration::from_mins(1);
/// When a provider is asked again that did not answer.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long asking may take; after that, whoever asked is thought dead.
const ASKING: Duration = Duration::from_secs(20);
/// How many sign-ins are asked about at once.
const AT_ONCE: usize = 8;
/// How often it is looked.
const LOOKED_EVERY: Duration = Duration::from_secs(5);
/// How often somebody looks who waits for what another is asking.
const WAITED: Duration = Duration::from_millis(50);

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The sign-in stands.
    Stands,
    /// Its sessions have ended.
    Ended,
    /// Somebody else is asking, or it was asked a moment ago.
    NotNow,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    provider: String,
    sealed: Vec<u8>,
    issuer: String,
    subject: String,
}

/// Sign-ins to ask about: due, alive, and used since the provider last confirmed them.
const DUE: &str = "SELECT r.session FROM refresh_tokens r WHERE r.next_at <= $1 AND r.asking_until <= $1 \
    AND EXISTS (SELECT 1 FROM sessions s LEFT JOIN last_seen l ON l.session = s.id \
    WHERE (s.id = r.session OR s.origin = r.session) AND s.ended_at IS NULL AND s.ends_at > $1 \
    AND COALESCE(l.at, s.created_at) > COALESCE(s.confirmed_at, s.created_at)) \
    ORDER BY r.next_at LIMIT 500";

impl Identity {
    /// Looks again and again until `stop`: reads providers anew before what is known of them runs out, asks
    /// about sign-ins, and records how many workloads were refused.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.read_providers_anew().await;
            self.note_more_refused(Some(self.ambient.now())).await;
            if self.providers.are_asked_again()
                && let Err(problem) = self.ask_again().await
            {
                tracing::warn!(%problem, "identity providers could not be asked again; facts grow older");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(LOOKED_EVERY) => {}
            }
        }
        self.note_more_refused(None).await;
    }

    /// Reads anew what providers say of themselves, where what is known of it runs out soon.
    pub async fn read_providers_anew(&self) {
        self.providers.keep_fresh().await;
    }

    /// Asks about every sign-in that is due; how many were answered.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn ask_again(&self) -> Result<usize> {
        let due: Vec<(String,)> = self.database.fetch_all(sql(DUE).bind(self.ambient.now())).await?;
        let asked = stream::iter(due).map(|(session,)| async move {
            match self.ask_about(stored_id(&session)?).await {
                Ok(asked) => Ok(asked != Asked::NotNow),
                Err(problem) => {
                    tracing::warn!(session, %problem, "a sign-in could not be confirmed");
                    Ok(false)
                }
            }
        });
        let answered: Vec<Result<bool>> = asked.buffer_unordered(AT_ONCE).collect().await;
        Ok(answered.into_iter().filter(|it| matches!(it, Ok(true))).count())
    }

    /// Asks now about the sign-in of a session, for somebody who is about to be refused because it was not
    /// confirmed lately. Whether anything is known now that was not before.
    pub async fn confirm_now(&self, session: SessionId) -> bool {
        let asked = async {
            let origin = self.origin_of(session).await?;
            match self.ask_about(origin).await? {
                Asked::Stands | Asked::Ended => Ok(true),
                Asked::NotNow => self.wait_for_whoever_asks(origin).await,
            }
        };
        asked.await.unwrap_or_else(|problem: Problem| {
            tracing::warn!(%session, %problem, "a sign-in could not be confirmed");
            false
        })
    }

    async fn origin_of(&self, session: SessionId) -> Result<SessionId> {
        let origin = sql("SELECT COALESCE(origin, id) AS origin FROM sessions WHERE id = $1").bind(session);
        let origin: Option<(String,)> = self.database.fetch_optional(origin).await?;
        stored_id(&origin.ok_or_else(|| Problem::internal("a session is gone"))?.0)
    }

    /// Waits until nobody is asking. Whether there is anything to ask by: then what is known may be newer
    /// than what the refusal rested on.
    async fn wait_for_whoever_asks(&self, origin: SessionId) -> Result<bool> {
        let until = self.ambient.now().after(ASKING);
        while self.ambient.now() < until {
            let asking = sql("SELECT asking_until FROM refresh_tokens WHERE session = $1").bind(origin);
            let asking: Option<(i64,)> = self.database.fetch_optional(asking).await?;
            let Some((asking_until,)) = asking else { return Ok(false) };
            if asking_until <= self.ambient.now().as_millis() {
                return Ok(true);
            }
            tokio::time::sleep(WAITED).await;
        }
        Ok(false)
    }

    async fn ask_about(&self, origin: SessionId) -> Result<Asked> {
        let Some(about) = self.take_turn(origin).await? else { return Ok(Asked::NotNow) };
        let asked = match self.renewed(&about).await {
            Ok(Said::Refused) => {
                self.refused_by_provider(origin).await?;
                return Ok(Asked::Ended);
            }
            Ok(Said::Stands(said, next)) => self.stands(origin, said, next).await,
            // Nothing is confirmed by what is not believed.
            Ok(Said::Nonsense(problem, next)) => self.keep(origin, next).await.and(Err(problem)),
            Err(problem) => Err(problem),
        };
        if asked.is_err() {
            self.give_turn_back(origin, TRIED_AGAIN_AFTER).await?;
        }
        asked
    }

    /// A sign-in is asked about by one at a time, on whichever replica: a refresh token that is used twice
    /// looks stolen to its provider. The token is read after the turn is taken, since it may have been
    /// replaced before.
    async fn take_turn(&self, origin: SessionId) -> Result<Option<AskedAbout>> {
        let now = self.ambient.now();
        let turn = sql("UPDATE refresh_tokens SET asking_until = $3 \
                        WHERE session = $1 AND asking_until <= $2 AND next_at <= $2")
        .bind(origin)
        .bind(now)
        .bind(now.after(ASKING));
        if self.database.write_unrecorded("refresh_tokens", turn).await? != 1 {
            return Ok(None);
        }
        let row = sql("SELECT r.provider, r.sealed, s.issuer, s.subject FROM refresh_tokens r \
                       JOIN sessions s ON s.id = r.session WHERE r.session = $1");
        let row: Option<TokenRow> = self.database.fetch_optional(row.bind(origin)).await?;
        Ok(row.map(|row| AskedAbout {
            provider: row.provider,
            issuer: row.issuer,
            subject: row.subject,
            sealed: row.sealed,
        }))
    }

    async fn give_turn_back(&self, origin: SessionId, wait: Duration) -> Result<()> {
        let again = sql("UPDATE refresh_tokens SET asking_until = 0, next_at = $2 WHERE session = $1")
            .bind(origin)
            .bind(self.ambient.now().after(wait));
        self.database.write_unrecorded("refresh_tokens", again).await?;
        Ok(())
    }

    async fn stands(
        &self,
        origin: SessionId,
        said: Option<Box<Assertion>>,
        next: Option<Vec<u8>>,
    ) -> Result<Asked> {
        self.keep(origin, next).await?;
        let permit = self.permits.permit(Service::SignIn, Action::SignIn, Resource::People)?;
        match self.log.perform(Confirmed { permit, origin, said }).await {
            Ok(()) => {}
            // Nobody is left who could use it.
            Err(problem) if problem.is(ProblemKind::Conflict) => {}
            Err(problem) => return Err(problem),
        }
        self.give_turn_back(origin, self.until_asked_again()).await?;
        Ok(Asked::Stands)
    }

    /// Keeps the token that it is asked by next, first of all: the one before is used up.
    async fn keep(&self, origin: SessionId, next: Option<Vec<u8>>) -> Result<()> {
        let keep = sql("UPDATE refresh_tokens SET sealed = COALESCE($2, sealed) WHERE session = $1");
        self.database.write_unrecorded("refresh_tokens", keep.bind(origin).bind(next)).await?;
        Ok(())
    }

    fn until_asked_again(&self) -> Duration {
        let chance = f64::from(u16::from_be_bytes(self.ambient.bytes::<2>())) / f64::from(u16::MAX);
        ASKED_EVERY.saturating_sub(SPREAD.mul_f64(chance))
    }

    async fn refused_by_provider(&self, origin: SessionId) -> Result<()> {
        let permit = self.permits.permit(Service::SignIn, Action::SignOut, Resource::People)?;
        match self.log.perform(Refused { permit, origin }).await {
            Err(problem) if !problem.is(ProblemKind::Conflict) => return Err(problem),
            _ => {}
        }
        let used_up = sql("DELETE FROM refresh_tokens WHERE session = $1").bind(origin);
        self.database.write_unrecorded("refresh_tokens", used_up).await?;
        Ok(())
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct LiveRow {
    pub(super) id: String,
    pub(super) person: String,
}

/// A browser's session and those that it let in, as far as they have not ended.
async fn living(work: &mut Work<'_>, origin: SessionId) -> Result<Vec<LiveRow>> {
    let living: Vec<LiveRow> = work
        .fetch_all(
            sql("SELECT id, person FROM sessions WHERE (id = $1 OR origin = $1) AND ended_at IS NULL ORDER BY id")
                .bind(origin),
        )
        .await?;
    if living.is_empty() {
        return Err(Problem::conflict(format!("nothing is left of the sign-in {origin}")));
    }
    Ok(living)
}

/// The provider still knows her.
struct Confirmed {
    permit: Permit,
    origin: SessionId,
    said: Option<Box<Assertion>>,
}

#[async_trait]
impl Unit for Confirmed {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let living = living(work, self.origin).await?;
        let person: PersonId = stored_id(&living[0].person)?;
        refuse_the_gone(work, person).await?;
        if let Some(said) = &self.said {
            said_again(work, person, said).await?;
        }
        let now: Timestamp = work.now();
        let confirmed =
            sql("UPDATE sessions SET confirmed_at = $2 WHERE (id = $1 OR origin = $1) AND ended_at IS NULL");
        work.execute(confirmed.bind(self.origin).bind(now)).await?;
        move_facts(work, person).await?;
        let sessions: Vec<String> = living.into_iter().map(|it| it.id).collect();
        let mut draft =
            Draft::act("session.confirmed").subject(person).resource(self.origin).with("sessions", sessions);
        if let Some(said) = &self.said {
            draft = draft.with("provider", said.provider.as_str());
        }
        work.record(draft);
        Ok(())
    }
}

/// Whoever is suspended or has left here is not brought back by being known there.
async fn refuse_the_gone(work: &mut Work<'_>, person: PersonId) -> Result<()> {
    let status: Option<(String,)> =
        work.fetch_optional(sql("SELECT status FROM people WHERE id = $1").bind(person)).await?;
    if status.is_some_and(|(status,)| PersonStatus::from_stored(&status) == PersonStatus::Active) {
        return Ok(());
    }
    Err(Problem::conflict(format!("{person} is not active")))
}

/// The provider knows her sign-in no more.
struct Refused {
    permit: Permit,
    origin: SessionId,
}

#[async_trait]
impl Unit for Refused {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        for session in living(work, self.origin).await? {
            end_one(work, stored_id(&session.id)?, stored_id(&session.person)?, "refused-by-provider")
                .await?;
        }
        Ok(())
    }
}
