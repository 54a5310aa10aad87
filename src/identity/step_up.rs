//! Step-up of a command line (RFC 9470): it is signed in, and what it wants to do takes a stronger or a
//! newer sign-in. Its person confirms in her browser, at her provider, and the one-time code that the
//! browser carries to the command line's own machine raises that one session and no other.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Caller, Identity, LoginWish, PendingLogin, SessionKind, SignInWish,
    caller::stored_id,
    cli_login::{ClickRow, click, gone, refused, take_code},
    sessions::move_facts,
    sign_in::refusal,
    token::hash_of,
};
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        Problem, Result, SecretValue, Timestamp,
        ids::{LoginId, PersonId, SessionId},
    },
    policy::{Action, Permit, Resource, Service},
    store::sql,
};

/// How far the provider's clock may be from ours.
const SKEW: Duration = Duration::from_mins(1);
/// How many classes one may ask for.
const MOST_CLASSES: usize = 10;

/// What is wanted of a confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The authentication context classes of which one is needed; empty: any will do.
    pub acr_values: Vec<String>,
    /// The oldest sign-in at the provider that will do.
    pub max_age: Option<Duration>,
    /// The provider has to have spoken after this.
    pub since: Timestamp,
}

/// What a command line sends to be confirmed.
#[derive(Clone, Debug)]
pub struct StepUpWish {
    /// PKCE S256 challenge.
    pub challenge: String,
    /// The port on 127.0.0.1 that it listens on.
    pub port: u16,
    /// What it recognises its own wish by.
    pub state: String,
    /// The classes of which one is needed.
    pub acr_values: Vec<String>,
    /// The oldest sign-in at the provider that will do.
    pub max_age: Option<Duration>,
}

impl Confirmation {
    /// Whether a browser's session is what is wanted.
    fn is_met(
        &self,
        authenticated_at: Timestamp,
        confirmed_at: Timestamp,
        acr: Option<&str>,
        now: Timestamp,
    ) -> bool {
        let recent = self.max_age.is_none_or(|age| now.since(authenticated_at) <= age + SKEW);
        let strong = self.acr_values.is_empty()
            || acr.is_some_and(|acr| self.acr_values.iter().any(|wanted| wanted == acr));
        recent && strong && confirmed_at >= self.since
    }
}

impl Identity {
    /// Notes that a command line waits for its person to confirm.
    ///
    /// # Errors
    /// `invalid-request`; `not-found` where the caller is no command line; `rate-limited`.
    pub async fn begin_step_up(
        &self,
        permit: &Permit,
        caller: &Caller,
        wish: StepUpWish,
    ) -> Result<PendingLogin> {
        permit.expect(Action::SeeOwn)?;
        let session = self.person_facts(caller).await?.session;
        if session.kind != SessionKind::Cli {
            return Err(Problem::not_found(
                "this is no command line's session, and only such a one is confirmed",
            )
            .remedy("Sign in again in the browser."));
        }
        let printable = |value: &String| !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic());
        if wish.acr_values.len() > MOST_CLASSES || !wish.acr_values.iter().all(printable) {
            return Err(Problem::invalid("the classes are not what a denial asked for"));
        }
        let login = LoginWish {
            challenge: wish.challenge,
            port: wish.port,
            state: wish.state,
            machine: session.label,
        };
        login.check()?;
        self.limit.take(caller.network, self.ambient.now())?;
        let wanted =
            Confirmation { acr_values: wish.acr_values, max_age: wish.max_age, since: self.ambient.now() };
        self.note_login(login, Some((caller.session, wanted))).await
    }

    /// How the browser has to sign in first, before its person can confirm; nothing where its session is
    /// what is wanted.
    ///
    /// # Errors
    /// `unauthenticated` where the session has ended.
    pub async fn before_confirming(
        &self,
        caller: &Caller,
        login: &PendingLogin,
    ) -> Result<Option<SignInWish>> {
        let Some(wanted) = &login.confirmation else { return Ok(None) };
        let session = self.person_facts(caller).await?.session;
        let now = self.ambient.now();
        if wanted.is_met(session.authenticated_at, session.confirmed_at, session.acr.as_deref(), now) {
            return Ok(None);
        }
        Ok(Some(SignInWish {
            return_to: format!("/logins/{}", login.id),
            max_age: wanted.max_age,
            acr_values: wanted.acr_values.clone(),
        }))
    }

    /// Raises the caller's session to what her browser's is, by the code that this brought.
    ///
    /// # Errors
    /// `not-found` where nobody waits; `sign-in-refused` where code or verifier are not those of this
    /// session's wish, or the confirmation is not what was wanted; `person-suspended`, `person-deactivated`.
    pub async fn finish_step_up(
        &self,
        caller: &Caller,
        id: LoginId,
        code: &str,
        verifier: &SecretValue,
    ) -> Result<()> {
        self.limit.take(caller.network, self.ambient.now())?;
        let own = caller.session.to_string();
        let row = self.login_row(id).await?;
        row.filter(|row| row.raises.as_deref() == Some(own.as_str())).ok_or_else(gone)?;
        self.proven(id, code, verifier).await?;
        let permit = self.permits.permit(Service::SignIn, Action::SignIn, Resource::People)?;
        let (session, code_hash) = (caller.session, hash_of(code.as_bytes()));
        self.log.perform(Raise { permit, id, session, code_hash }).await?
    }
}

struct Raise {
    permit: Permit,
    id: LoginId,
    session: SessionId,
    code_hash: [u8; 32],
}

#[async_trait]
impl Unit for Raise {
    /// The inner problem is a refusal that is itself recorded.
    type Output = Result<()>;

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output> {
        let row = take_code(work, self.id, &self.code_hash).await?;
        let wanted = row.confirmation().ok_or_else(gone)?;
        let click = click(work, row.clicked_in()).await?;
        let person: PersonId = stored_id(&click.person)?;
        if let Some(problem) = click.refusal(work.now()) {
            work.record(refusal(person, &problem));
            return Ok(Err(problem));
        }
        let [authenticated, confirmed] =
            [click.authenticated_at, click.confirmed_at].map(Timestamp::from_millis);
        if !wanted.is_met(authenticated, confirmed, click.acr.as_deref(), work.now()) {
            return Err(refused("the browser's sign-in is not what this takes"));
        }
        self.raise(work, person, &click).await?;
        Ok(Ok(()))
    }
}

impl Raise {
    async fn raise(&self, work: &mut Work<'_>, person: PersonId, click: &ClickRow) -> Result<()> {
        let raised = work
            .execute(
                sql("UPDATE sessions SET authenticated_at = $3, acr = $4, amr = $5, sid = $6, confirmed_at = $7, \
                     origin = $8 WHERE id = $1 AND person = $2 AND kind = 'cli' AND ended_at IS NULL")
                .bind(self.session)
                .bind(person)
                .bind(click.authenticated_at)
                .bind(click.acr.clone())
                .bind(&click.amr)
                .bind(click.sid.clone())
                .bind(click.confirmed_at)
                .bind(&click.id),
            )
            .await?;
        if raised != 1 {
            return Err(refused("the command line's session has ended, or is somebody else's"));
        }
        move_facts(work, person).await?;
        let time = |millis| Timestamp::from_millis(millis).to_string();
        let mut draft = Draft::act("session.raised")
            .subject(person)
            .resource(self.session)
            .with("authenticated_at", time(click.authenticated_at))
            .with("confirmed_at", time(click.confirmed_at))
            .with("origin", click.id.as_str());
        if let Some(acr) = &click.acr {
            draft = draft.with("acr", acr.as_str());
        }
        work.record(draft);
        Ok(())
    }
}
