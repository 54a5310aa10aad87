//! Sessions: beginning, listing and ending them.

use std::net::IpAddr;

use async_trait::async_trait;

use super::{Identity, caller::stored_id, token::hash_of};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        Problem, Result, SecretValue, Timestamp,
        config::SessionConfig,
        ids::{PersonId, SessionId},
    },
    policy::{Action, Permit, Resource, Service},
    store::{AT_ONCE, Arg, Query, placeholders, sql},
};

/// What sort of session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// A browser's, by cookie.
    Browser,
    /// A command line's, by bearer token.
    Cli,
    /// Of somebody who came back in on the server's own machine; has the powers of administrators.
    Recovery,
}

impl SessionKind {
    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Cli => "cli",
            Self::Recovery => "recovery",
        }
    }

    /// Reads what [`Self::as_str`] wrote; anything else is the one with the fewest powers.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        match text {
            "recovery" => Self::Recovery,
            "cli" => Self::Cli,
            _ => Self::Browser,
        }
    }
}

/// A session, as shown.
#[derive(Clone, Debug)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub person: PersonId,
    /// What sort.
    pub kind: SessionKind,
    /// What the person knows it by: the browser or the machine.
    pub label: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When the person proved who she is.
    pub authenticated_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Timestamp,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
}

/// A session that has just begun, with the only copy of its token.
#[derive(Debug)]
pub struct NewSession {
    /// Its token; shown once, kept nowhere.
    pub token: SecretValue,
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub person: PersonId,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
}

/// What a new session is made from.
#[derive(Clone)]
pub(super) struct SessionSeed {
    pub(super) token_hash: [u8; 32],
    pub(super) kind: SessionKind,
    pub(super) label: String,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) sid: Option<String>,
    pub(super) sealed_id_token: Option<Vec<u8>>,
    pub(super) authenticated_at: Timestamp,
    pub(super) acr: Option<String>,
    pub(super) amr: String,
    pub(super) network: Option<IpAddr>,
    /// When the session ends at the latest, where the one that it comes from ends before its own time.
    pub(super) ends_by: Option<Timestamp>,
    /// Who said her groups again with it: a sign-in's provider.
    pub(super) asserted_by: Option<String>,
    /// The browser's session that lets it in, and when the provider last confirmed that one.
    pub(super) origin: Option<(SessionId, Timestamp)>,
}

impl SessionSeed {
    pub(super) fn token_hash_of(token: &SecretValue) -> [u8; 32] {
        hash_of(token.expose())
    }

    /// Writes the session and its entry, and moves the version of the person's facts.
    pub(super) async fn begin(
        &self,
        work: &mut Work<'_>,
        person: PersonId,
        lives: SessionConfig,
    ) -> Result<(SessionId, Timestamp)> {
        let id: SessionId = work.ambient().id();
        let now = work.now();
        let ends_at = now.after(lives.absolute);
        let ends_at = self.ends_by.map_or(ends_at, |by| by.min(ends_at));
        work.execute(
            sql("INSERT INTO sessions (id, token_hash, person, kind, label, issuer, subject, sid, \
                 sealed_id_token, created_at, authenticated_at, acr, amr, idle_millis, ends_at, origin, \
                 confirmed_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)")
            .bind(id)
            .bind(self.token_hash)
            .bind(person)
            .bind(self.kind.as_str())
            .bind(&self.label)
            .bind(&self.issuer)
            .bind(&self.subject)
            .bind(self.sid.clone())
            .bind(self.sealed_id_token.clone())
            .bind(now)
            .bind(self.authenticated_at)
            .bind(self.acr.clone())
            .bind(&self.amr)
            .bind(i64::try_from(lives.idle.as_millis()).unwrap_or(i64::MAX))
            .bind(ends_at)
            .bind(self.origin.map(|(session, _)| session))
            .bind(self.origin.map_or(now, |(_, confirmed)| confirmed)),
        )
        .await?;
        move_facts(work, person).await?;
        let mut draft = Draft::act("session.began")
            .subject(person)
            .resource(id)
            .with("kind", self.kind.as_str())
            .with("label", self.label.as_str())
            .with("authenticated_at", self.authenticated_at.to_string())
            .with("ends_at", ends_at.to_string());
        if let Some((origin, confirmed)) = self.origin {
            draft = draft.with("origin", origin.to_string()).with("confirmed_at", confirmed.to_string());
        }
        // With these an auditor can recompute what she could reach by it.
        for (name, said) in [("acr", &self.acr), ("provider", &self.asserted_by)] {
            if let Some(said) = said {
                draft = draft.with(name, said.as_str());
            }
        }
        if let Some(network) = self.network {
            draft = draft.with("from", network.to_string());
        }
        work.record(draft);
        Ok((id, ends_at))
    }
}

/// Moves the version of what decisions about a person rest on.
pub(super) async fn move_facts(work: &mut Work<'_>, person: PersonId) -> Result<()> {
    move_facts_of(work, &[person]).await
}

/// The same for many people at once.
pub(super) async fn move_facts_of(work: &mut Work<'_>, people: &[PersonId]) -> Result<()> {
    for some in people.chunks(AT_ONCE) {
        let text = format!("UPDATE people SET facts = facts + 1 WHERE id IN {}", placeholders(1, some.len()));
        let args = some.iter().map(|it| Arg::from(*it)).collect();
        work.execute(Query::composed(text, args)).await?;
    }
    Ok(())
}

/// Ends all sessions of a person, and drops the command lines that wait for them. How many they were.
pub(super) async fn end_all(work: &mut Work<'_>, person: PersonId, because: &str) -> Result<u64> {
    work.execute(
        sql("DELETE FROM pending_logins WHERE session IN (SELECT id FROM sessions WHERE person = $1)")
            .bind(person),
    )
    .await?;
    work.execute(
        sql("UPDATE sessions SET ended_at = $2, ended_because = $3, sealed_id_token = NULL \
             WHERE person = $1 AND ended_at IS NULL")
        .bind(person)
        .bind(work.now())
        .bind(because),
    )
    .await
}

/// Ends one session with its entry. Whether it had not ended before.
pub(super) async fn end_one(
    work: &mut Work<'_>,
    session: SessionId,
    person: PersonId,
    because: &str,
) -> Result<bool> {
    let ended = work
        .execute(
            sql("UPDATE sessions SET ended_at = $3, ended_because = $4, sealed_id_token = NULL \
                 WHERE id = $1 AND person = $2 AND ended_at IS NULL")
            .bind(session)
            .bind(person)
            .bind(work.now())
            .bind(because),
        )
        .await?;
    if ended == 0 {
        return Ok(false);
    }
    work.execute(sql("DELETE FROM pending_logins WHERE session = $1").bind(session)).await?;
    move_facts(work, person).await?;
    work.record(Draft::act("session.ended").subject(person).resource(session).with("because", because));
    Ok(true)
}

#[derive(sqlx::FromRow)]
struct SessionColumns {
    id: String,
    person: String,
    kind: String,
    label: String,
    created_at: i64,
    authenticated_at: i64,
    last_used_at: i64,
    ends_at: i64,
}

impl TryFrom<SessionColumns> for Session {
    type Error = Problem;

    fn try_from(row: SessionColumns) -> Result<Self> {
        Ok(Self {
            id: stored_id(&row.id)?,
            person: stored_id(&row.person)?,
            kind: SessionKind::from_stored(&row.kind),
            label: row.label,
            created_at: Timestamp::from_millis(row.created_at),
            authenticated_at: Timestamp::from_millis(row.authenticated_at),
            last_used_at: Timestamp::from_millis(row.last_used_at),
            ends_at: Timestamp::from_millis(row.ends_at),
        })
    }
}

impl Identity {
    /// The sessions of a person that still work, the newest first.
    ///
    /// # Errors
    /// `not-found` where the permit is for one's own and `person` is somebody else.
    pub async fn list_sessions(&self, permit: &Permit, person: PersonId) -> Result<Vec<Session>> {
        match permit.action() {
            Action::SeePeople | Action::ManagePeople => {}
            _ => {
                permit.expect(Action::SeeOwn)?;
                if permit.person() != Some(person) {
                    return Err(Problem::not_found(format!("nobody here is {person}")));
                }
            }
        }
        let rows: Vec<SessionColumns> = self
            .database
            .fetch_all(
                sql("SELECT s.id, s.person, s.kind, s.label, s.created_at, s.authenticated_at, s.ends_at, \
                     COALESCE(l.at, s.created_at) AS last_used_at FROM sessions s \
                     LEFT JOIN last_seen l ON l.session = s.id WHERE s.person = $1 AND s.ended_at IS NULL \
                     AND s.ends_at > $2 AND COALESCE(l.at, s.created_at) + s.idle_millis > $2 \
                     ORDER BY s.created_at DESC, s.id DESC")
                .bind(person)
                .bind(self.ambient.now()),
            )
            .await?;
        rows.into_iter().map(Session::try_from).collect()
    }

    /// Ends a session: one's own, or with a permit to manage people anybody's.
    ///
    /// # Errors
    /// `not-found` where there is no such session that the permit covers, or it has ended.
    pub async fn end_session(&self, permit: Permit, session: SessionId) -> Result<()> {
        if permit.action() != Action::ManagePeople {
            permit.expect(Action::EndOwnSession)?;
        }
        self.log.perform(EndSession { permit, session }).await
    }

    /// Ends the sessions that have run out, and drops sign-ins that nobody finished. How many sessions
    /// they were.
    ///
    /// # Errors
    /// Where the log cannot take it.
    pub async fn end_expired(&self) -> Result<usize> {
        let now = self.ambient.now();
        for (table, query) in [
            ("pending_sign_ins", sql("DELETE FROM pending_sign_ins WHERE expires_at <= $1").bind(now)),
            ("pending_logins", sql("DELETE FROM pending_logins WHERE expires_at <= $1").bind(now)),
            ("device_logins", sql("DELETE FROM device_logins WHERE expires_at <= $1").bind(now)),
            ("logout_tokens", sql("DELETE FROM logout_tokens WHERE expires_at <= $1").bind(now)),
            ("refresh_tokens", sql(FOR_NOTHING)),
        ] {
            self.database.write_unrecorded(table, query).await?;
        }
        let waiting: Vec<ExpiredRow> = self.database.fetch_all(expired(now)).await?;
        if waiting.is_empty() {
            return Ok(0);
        }
        let permit = self.permits.permit(Service::Expiry, Action::Expire, Resource::People)?;
        self.log.perform(EndExpired { permit }).await
    }
}

/// Refresh tokens of sign-ins of which no session is left.
const FOR_NOTHING: &str = "DELETE FROM refresh_tokens WHERE NOT EXISTS (SELECT 1 FROM sessions s \
    WHERE (s.id = refresh_tokens.session OR s.origin = refresh_tokens.session) AND s.ended_at IS NULL)";

#[derive(sqlx::FromRow)]
struct OwnerRow {
    person: String,
}

struct EndSession {
    permit: Permit,
    session: SessionId,
}

#[async_trait]
impl Unit for EndSession {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let unknown = || Problem::not_found(format!("there is no live session {}", self.session));
        let owner: Option<OwnerRow> =
            work.fetch_optional(sql("SELECT person FROM sessions WHERE id = $1").bind(self.session)).await?;
        let owner: PersonId = stored_id(&owner.ok_or_else(unknown)?.person)?;
        let own = self.permit.person() == Some(owner);
        if !own && self.permit.action() != Action::ManagePeople {
            return Err(unknown());
        }
        let because = if own { "signed-out" } else { "revoked" };
        if end_one(work, self.session, owner, because).await? { Ok(()) } else { Err(unknown()) }
    }
}

#[derive(sqlx::FromRow)]
struct ExpiredRow {
    id: String,
    person: String,
    ends_at: i64,
}

/// Sessions that have run out, a bounded number at a time.
fn expired(now: Timestamp) -> crate::store::Query {
    sql("SELECT s.id, s.person, s.ends_at FROM sessions s LEFT JOIN last_seen l ON l.session = s.id \
         WHERE s.ended_at IS NULL AND (s.ends_at <= $1 OR COALESCE(l.at, s.created_at) + s.idle_millis <= $1) \
         ORDER BY s.id LIMIT 100")
    .bind(now)
}

struct EndExpired {
    permit: Permit,
}

#[async_trait]
impl Unit for EndExpired {
    type Output = usize;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<usize> {
        let now = work.now();
        let rows: Vec<ExpiredRow> = work.fetch_all(expired(now)).await?;
        for row in &rows {
            let because = if row.ends_at <= now.as_millis() { "absolute-end" } else { "idle" };
            end_one(work, stored_id(&row.id)?, stored_id(&row.person)?, because).await?;
        }
        if rows.is_empty() {
            return Err(Problem::conflict("another replica has ended them"));
        }
        Ok(rows.len())
    }
}
