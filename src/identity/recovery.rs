//! The way back in when the identity provider is down: made on the server's own machine, good once and
//! for a quarter of an hour, and loud in the log.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;

use super::{
    Identity, NewSession, PersonAddress, SessionKind,
    caller::may_act,
    people::find_in,
    sessions::SessionSeed,
    sign_in::create_person,
    token::{TOKEN_PREFIX, hash_of, new_token},
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        Problem, ProblemKind, Result, SecretValue, Timestamp,
        config::SessionConfig,
        ids::{PersonId, SessionId},
    },
    policy::{Action, Permit, Resource, Service},
    store::sql,
};

/// How long a recovery token can be exchanged.
const RIGHT_LIFE: Duration = Duration::from_mins(15);
/// How long the session that it gives lasts.
const SESSION_LIFE: Duration = Duration::from_hours(1);
/// What a recovery token begins with.
const PREFIX: &str = "pcr_";
/// The issuer of sessions that no identity provider has begun.
const ISSUER: &str = "urn:port-control:recovery";

/// A right to come back in, with the only copy of its token.
#[derive(Debug)]
pub struct RecoveryRight {
    /// To be exchanged once.
    pub token: SecretValue,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Identity {
    /// Makes a right to come back in. Only for the server's own machine: no route leads here.
    ///
    /// # Errors
    /// Where the log cannot take it.
    pub async fn create_recovery(&self, reason: &str) -> Result<RecoveryRight> {
        let permit = self.permits.permit(Service::Operator, Action::Operate, Resource::People)?;
        let token = new_token(&self.ambient, PREFIX);
        let unit = CreateRecovery { permit, token_hash: hash_of(token.expose()), reason: reason.to_owned() };
        let expires_at = self.log.perform(unit).await?;
        Ok(RecoveryRight { token, expires_at })
    }

    /// Exchanges a recovery token for a session with the powers of administrators: of the person that
    /// `whom` means, or of a new one.
    ///
    /// # Errors
    /// `sign-in-refused` where the token is unknown, used or too old; `rate-limited`; `not-found`,
    /// `ambiguous`, `person-suspended` and `person-deactivated` for the person, and the token stays good.
    pub async fn recover(
        &self,
        token: &SecretValue,
        whom: Option<PersonAddress>,
        network: Option<IpAddr>,
    ) -> Result<NewSession> {
        self.limit.take(network, self.ambient.now())?;
        let permit = self.permits.permit(Service::Operator, Action::Operate, Resource::People)?;
        let session = new_token(&self.ambient, TOKEN_PREFIX);
        let unit = Recover {
            permit,
            right: hash_of(token.expose()),
            whom,
            token_hash: SessionSeed::token_hash_of(&session),
            network,
        };
        let (person, id, ends_at) = self.log.perform(unit).await?;
        Ok(NewSession { token: session, id, person, ends_at })
    }
}

struct CreateRecovery {
    permit: Permit,
    token_hash: [u8; 32],
    reason: String,
}

#[async_trait]
impl Unit for CreateRecovery {
    type Output = Timestamp;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Timestamp> {
        let expires_at = work.now().after(RIGHT_LIFE);
        work.execute(
            sql("INSERT INTO recovery_rights (token_hash, created_at, expires_at) VALUES ($1, $2, $3)")
                .bind(self.token_hash)
                .bind(work.now())
                .bind(expires_at),
        )
        .await?;
        work.record(
            Draft::act("recovery.created").reason(&self.reason).with("expires_at", expires_at.to_string()),
        );
        Ok(expires_at)
    }
}

struct Recover {
    permit: Permit,
    right: [u8; 32],
    whom: Option<PersonAddress>,
    token_hash: [u8; 32],
    network: Option<IpAddr>,
}

#[async_trait]
impl Unit for Recover {
    type Output = (PersonId, SessionId, Timestamp);

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let used = work
            .execute(
                sql("UPDATE recovery_rights SET used_at = $2 \
                     WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2")
                .bind(self.right)
                .bind(work.now()),
            )
            .await?;
        if used != 1 {
            return Err(Problem::new(
                ProblemKind::SignInRefused,
                "the recovery token is unknown, was used already, or is older than a quarter of an hour",
            )
            .remedy("Make a new one on the server: `port-control recover-access`."));
        }
        let person = self.person(work).await?;
        work.record(Draft::act("recovery.used").subject(person));
        let seed = SessionSeed {
            token_hash: self.token_hash,
            kind: SessionKind::Recovery,
            label: "recovery".to_owned(),
            issuer: ISSUER.to_owned(),
            subject: person.to_string(),
            sid: None,
            sealed_id_token: None,
            authenticated_at: work.now(),
            acr: None,
            amr: String::new(),
            network: self.network,
            ends_by: None,
            asserted_by: None,
            origin: None,
        };
        let lives = SessionConfig { idle: SESSION_LIFE, absolute: SESSION_LIFE };
        let (session, ends_at) = seed.begin(work, person, lives).await?;
        Ok((person, session, ends_at))
    }
}

impl Recover {
    async fn person(&self, work: &mut Work<'_>) -> Result<PersonId> {
        if let Some(whom) = &self.whom {
            let person = find_in(work, whom).await?;
            may_act(person.status)?;
            return Ok(person.id);
        }
        let person = create_person(work, "recovery", "").await?;
        work.record(Draft::act("person.joined").subject(person).with("provider", "recovery"));
        Ok(person)
    }
}
