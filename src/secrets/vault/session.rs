//! Our token: signed in for, renewed before it ends, and got anew when it is lost.

use std::{fmt, sync::Arc, time::Duration};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest};
use zeroize::Zeroizing;

use super::{Vault, call::Call};
use crate::base::{Problem, ProblemKind, Result, Timestamp, config::VaultAuth};

/// A refused sign-in is not tried again for this long: methods lock out who fails too often.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// A live token that is denied something is exchanged when it is older, as its role may have more by now.
const EXCHANGED: Duration = Duration::from_mins(1);
/// How often [`Vault::run`] looks at the longest; clocks jump.
const LOOK: Duration = Duration::from_mins(1);

/// What we hold between calls. Behind a lock that is held while signing in, so that it is done once
/// for all who wait.
#[derive(Default)]
pub(super) struct Held {
    session: Option<Arc<Session>>,
    refusal: Option<(Timestamp, Problem)>,
}

impl Held {
    fn hold(&mut self, session: Arc<Session>) -> Arc<Session> {
        self.session = Some(Arc::clone(&session));
        session
    }
}

/// A token and its life.
pub(super) struct Session {
    pub(super) token: Zeroizing<String>,
    begun: Timestamp,
    /// From `begun`; nothing for a token without end.
    life: Option<Duration>,
    /// Its life when it was new; renewals get shorter towards the end of all renewing.
    first_life: Option<Duration>,
    renewable: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("begun", &self.begun)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

impl Session {
    fn new(grant: Grant, now: Timestamp) -> Self {
        let life = (grant.seconds > 0).then(|| Duration::from_secs(grant.seconds));
        Self { token: grant.token, begun: now, life, first_life: life, renewable: grant.renewable }
    }

    fn ended(&self, now: Timestamp) -> bool {
        self.life.is_some_and(|life| now >= self.begun.after(life))
    }

    /// From when on it should be renewed: with a third of its life left for what may go wrong.
    fn due(&self) -> Option<Timestamp> {
        self.life.map(|life| self.begun.after(life * 2 / 3))
    }

    /// Renewing it brings less and less.
    fn fades(&self) -> bool {
        !self.renewable || self.life.zip(self.first_life).is_some_and(|(life, first)| life * 2 < first)
    }
}

/// What a sign-in or a renewal gives.
pub(super) struct Grant {
    pub(super) token: Zeroizing<String>,
    pub(super) seconds: u64,
    pub(super) renewable: bool,
}

/// The part of an answer that holds a token.
#[derive(Deserialize)]
pub(super) struct Signed {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

impl Signed {
    /// Nothing where the token is none that could be sent.
    pub(super) fn grant(self) -> Option<Grant> {
        let Auth { client_token, lease_duration, renewable } = self.auth;
        let token = Zeroizing::new(client_token);
        let sendable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        sendable.then_some(Grant { token, seconds: lease_duration, renewable })
    }
}

impl Vault {
    /// A token that works as far as we know, signing in or renewing where that is due.
    pub(super) async fn session(&self) -> Result<Arc<Session>> {
        let mut held = self.held.lock().await;
        let now = self.ambient.now();
        match held.session.clone() {
            Some(session) if session.ended(now) => self.begin(&mut held).await,
            Some(session) if session.due().is_some_and(|due| now >= due) => {
                self.prolong(&mut held, session).await
            }
            Some(session) => Ok(session),
            None => self.begin(&mut held).await,
        }
    }

    /// What to use after `used` was denied something; nothing where it is the denial's own right that
    /// is missing.
    pub(super) async fn after_denial(&self, used: &Arc<Session>) -> Result<Option<Arc<Session>>> {
        let mut held = self.held.lock().await;
        match &held.session {
            Some(other) if !Arc::ptr_eq(other, used) => return Ok(Some(Arc::clone(other))),
            _ => {}
        }
        let old = self.ambient.now().since(used.begun) >= EXCHANGED;
        if !old && self.lives(used).await? {
            return Ok(None);
        }
        self.begin(&mut held).await.map(Some)
    }

    /// Keeps the token alive while nobody calls, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let wait = match self.session().await {
                Ok(session) => session.due().map_or(LOOK, |due| due.since(self.ambient.now())),
                Err(problem) => {
                    tracing::warn!(problem = %problem, "no token of Vault");
                    AFTER_REFUSAL
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait.clamp(Duration::from_millis(500), LOOK)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn begin(&self, held: &mut Held) -> Result<Arc<Session>> {
        let now = self.ambient.now();
        if let Some((_, refusal)) = held.refusal.as_ref().filter(|(until, _)| now < *until) {
            return Err(refusal.clone());
        }
        held.session = None;
        match self.sign_in().await {
            Ok(grant) => {
                held.refusal = None;
                Ok(held.hold(Arc::new(Session::new(grant, now))))
            }
            Err(problem) => {
                let lasting = !problem.is(ProblemKind::EngineUnavailable);
                held.refusal = lasting.then(|| (self.ambient.now().after(AFTER_REFUSAL), problem.clone()));
                Err(problem)
            }
        }
    }

    async fn prolong(&self, held: &mut Held, session: Arc<Session>) -> Result<Arc<Session>> {
        let by_token = matches!(self.config.auth, VaultAuth::Token(_));
        let next = if session.fades() && !by_token {
            self.begin(held).await
        } else if session.renewable {
            self.renew(held, &session).await
        } else {
            return Ok(session);
        };
        match next {
            // It still works; there is time to try again.
            Err(problem) if problem.is(ProblemKind::EngineUnavailable) => Ok(held.hold(session)),
            Err(_) if by_token => Ok(held.hold(session)),
            Err(_) => self.begin(held).await,
            Ok(next) => Ok(next),
        }
    }

    async fn renew(&self, held: &mut Held, session: &Session) -> Result<Arc<Session>> {
        let now = self.ambient.now();
        let path = "auth/token/renew-self";
        let call = Call::of(&RenewTokenSelfRequest { increment: None });
        let answer = self.exchange(path, call, Some(&session.token)).await?;
        if !answer.is_success() {
            return Err(self.refused(path, &answer));
        }
        let grant = answer.json::<Signed>().and_then(Signed::grant);
        let grant = grant.ok_or_else(|| self.nonsense(path, "there is no token in the answer"))?;
        let renewed = Session::new(grant, now);
        Ok(held.hold(Arc::new(Session { first_life: session.first_life, ..renewed })))
    }

    /// Whether Vault still knows the token.
    async fn lives(&self, session: &Session) -> Result<bool> {
        let path = "auth/token/lookup-self";
        let answer = self.exchange(path, Call::of(&LookupTokenSelfRequest {}), Some(&session.token)).await?;
        match answer.status {
            403 => Ok(false),
            _ if answer.is_success() => Ok(true),
            _ => Err(self.refused(path, &answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(text: &str) -> Option<Grant> {
        serde_json::from_str::<Signed>(text).ok().and_then(Signed::grant)
    }

    fn session(seconds: u64, renewable: bool) -> Session {
        let grant = Grant { token: Zeroizing::new("hunter2".to_owned()), seconds, renewable };
        Session::new(grant, Timestamp::EPOCH)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_token_is_due_with_a_third_of_its_life_left() {
        let session = session(90, true);
        assert_eq!(session.due(), Some(at(60)));
        assert!(!session.ended(at(89)) && session.ended(at(90)));
    }

    #[test]
    fn a_token_without_end_is_never_due() {
        let session = session(0, false);
        assert!(session.due().is_none() && !session.ended(at(1_000_000_000)));
    }

    #[test]
    fn a_token_whose_renewals_get_shorter_is_replaced() {
        let renewed =
            |seconds| Session { first_life: Some(Duration::from_secs(90)), ..session(seconds, true) };
        assert!(!renewed(90).fades() && !renewed(45).fades() && renewed(44).fades());
        assert!(session(90, false).fades());
    }

    #[test]
    fn what_cannot_be_sent_is_no_token() {
        assert!(grant(r#"{"auth":{"client_token":"s.abc","lease_duration":5,"renewable":true}}"#).is_some());
        for bad in [
            r#"{"auth":null}"#,
            r#"{"auth":{"client_token":"","lease_duration":5}}"#,
            r#"{"auth":{"client_token":"a\nX-Other: b","lease_duration":5}}"#,
            r#"{"auth":{"client_token":"s.abc","lease_duration":-1}}"#,
            "[]",
        ] {
            assert!(grant(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_never_told_by_debug() {
        assert!(!format!("{:?}", session(5, true)).contains("hunter2"));
    }
}
