//! Somebody is not let through although it is known who she is: by the token of a person who is suspended
//! or has left, or by a post that another site sent. That is recorded, for each session once a minute at
//! most, so that nobody fills the log by it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::Identity;
use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{
        ProblemKind, Result, Timestamp,
        ids::{PersonId, SessionId},
    },
    policy::{Action, Permit, Resource, Service},
};

/// How often the same is recorded.
const EVERY: Duration = Duration::from_mins(1);
/// How many are remembered; beyond that, all are forgotten and recorded anew.
const MOST: usize = 10_000;

/// When what was recorded last.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<(SessionId, ProblemKind), Timestamp>>);

impl Refusals {
    /// Whether it is to be recorded now.
    fn admit(&self, session: SessionId, why: ProblemKind, now: Timestamp) -> bool {
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.get(&(session, why)).is_some_and(|last| now.since(*last) < EVERY) {
            return false;
        }
        if recorded.len() >= MOST {
            recorded.clear();
        }
        recorded.insert((session, why), now);
        true
    }
}

impl Identity {
    /// Records that a session was used and refused. She is refused whether it could be recorded or not.
    pub(super) async fn note_refusal(
        &self,
        person: PersonId,
        session: SessionId,
        network: Option<IpAddr>,
        why: ProblemKind,
    ) {
        if !self.refusals.admit(session, why, self.ambient.now()) {
            return;
        }
        let recorded = match self.permits.permit(Service::SignIn, Action::SignIn, Resource::People) {
            Ok(permit) => self.log.perform(NoteRefusal { permit, person, session, network, why }).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = recorded {
            tracing::warn!(%session, %problem, "that a session was refused could not be recorded");
        }
    }
}

struct NoteRefusal {
    permit: Permit,
    person: PersonId,
    session: SessionId,
    network: Option<IpAddr>,
    why: ProblemKind,
}

#[async_trait]
impl Unit for NoteRefusal {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let mut draft = Draft::refused("session.used")
            .subject(self.person)
            .resource(self.session)
            .with("denial", self.why.slug());
        if let Some(network) = self.network {
            draft = draft.with("from", network.to_string());
        }
        work.record(draft);
        Ok(())
    }
}
