//! A token that is to be believed, and is not exchanged: that is recorded, for each subject once a minute at
//! most, so that nobody fills the log by it. Of whom nothing is believed, only how often is counted.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Result, Timestamp},
    identity::Identity,
    policy::{Action, Permit, Resource, Service},
};

/// How often the same is recorded.
const EVERY: Duration = Duration::from_mins(1);
/// How many are remembered; beyond that, all are forgotten and recorded anew.
const MOST: usize = 10_000;
/// Longest subject that an entry holds, in characters.
const LONGEST_SUBJECT: usize = 255;

/// When what was recorded last.
#[derive(Default)]
pub(super) struct Refused(Mutex<HashMap<(String, String, &'static str), Timestamp>>);

impl Refused {
    fn admit(&self, of: (String, String, &'static str), now: Timestamp) -> bool {
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.get(&of).is_some_and(|last| now.since(*last) < EVERY) {
            return false;
        }
        if recorded.len() >= MOST {
            recorded.clear();
        }
        recorded.insert(of, now);
        true
    }
}

/// Who was refused, and why in one word.
pub(super) struct Refusal {
    /// By name, where it is known.
    pub(super) workload: Option<Name>,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) why: &'static str,
    pub(super) network: Option<IpAddr>,
}

impl Identity {
    /// Records a refusal. It is refused whether that could be recorded or not.
    pub(super) async fn note_refused_workload(&self, refusal: Refusal) {
        count_refused(refusal.why);
        let of = (refusal.issuer.clone(), refusal.subject.clone(), refusal.why);
        if !self.issuers.refused.admit(of, self.ambient.now()) {
            return;
        }
        let recorded = match self.permits.permit(Service::SignIn, Action::SignIn, Resource::Workloads) {
            Ok(permit) => self.log.perform(NoteRefused { permit, refusal }).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = recorded {
            tracing::warn!(%problem, "that a workload was refused could not be recorded");
        }
    }
}

/// Counts it; that is all that becomes of somebody who is nobody.
pub(super) fn count_refused(why: &'static str) {
    metrics::counter!("port_control_workloads_refused_total", "why" => why).increment(1);
}

struct NoteRefused {
    permit: Permit,
    refusal: Refusal,
}

#[async_trait]
impl Unit for NoteRefused {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let Refusal { workload, issuer, subject, why, network } = &self.refusal;
        let subject: String = subject.chars().take(LONGEST_SUBJECT).collect();
        let mut draft = Draft::refused("workload.refused")
            .with("denial", *why)
            .with("issuer", issuer.as_str())
            .with("subject", subject);
        draft = match workload {
            Some(name) => draft.resource(format!("workload/{name}")),
            None => draft.resource("workloads"),
        };
        if let Some(network) = network {
            draft = draft.with("from", network.to_string());
        }
        work.record(draft);
        Ok(())
    }
}
