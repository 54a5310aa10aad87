//! A token that is to be believed, and is not exchanged: that is recorded, for each subject once a minute at
//! most, and of each issuer and sort so often; what is beyond that, by a count. So nobody fills the log by it,
//! and whoever has an account at a public issuer least of all. Of whom nothing is believed, only how often is
//! counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    audit::{Authority, Draft, Unit, Work},
    base::{Name, Result, Timestamp},
    identity::Identity,
    policy::{Action, Permit, Resource, Service},
};

/// For how long refusals are counted together.
const WINDOW: Duration = Duration::from_mins(1);
/// How many of one issuer and sort are recorded each by itself within [`WINDOW`].
const EACH: usize = 20;
/// The sort of those of whom no file knows anything: that they are there is enough.
pub(super) const STRANGER: &str = "stranger";
/// Longest subject that an entry holds, in characters.
const LONGEST_SUBJECT: usize = 255;

/// What was recorded and counted of late, by issuer and sort: of both there are few.
#[derive(Default)]
pub(super) struct Refused(Mutex<BTreeMap<(String, &'static str), Window>>);

struct Window {
    since: Timestamp,
    /// Whose refusals were recorded by themselves.
    recorded: BTreeSet<String>,
    /// How many were not.
    more: u64,
}

/// That more were refused than are recorded.
struct More {
    issuer: String,
    why: &'static str,
    since: Timestamp,
    count: u64,
}

impl Refused {
    fn windows(&self) -> MutexGuard<'_, BTreeMap<(String, &'static str), Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is to be recorded; else it is counted.
    fn admit(&self, refusal: &Refusal, now: Timestamp) -> bool {
        let mut windows = self.windows();
        let window = windows.entry((refusal.issuer.clone(), refusal.why)).or_insert_with(|| Window {
            since: now,
            recorded: BTreeSet::new(),
            more: 0,
        });
        let each = if refusal.why == STRANGER { 1 } else { EACH };
        let is_new = window.recorded.len() < each && window.recorded.insert(refusal.subject.clone());
        if !is_new {
            window.more += 1;
        }
        is_new
    }

    /// The counts of all windows that are over at `now`; of all, where `now` is nothing.
    fn over(&self, now: Option<Timestamp>) -> Vec<More> {
        let is_over = |window: &Window| now.is_none_or(|now| now.since(window.since) >= WINDOW);
        self.windows()
            .extract_if(.., |_, window| is_over(window))
            .filter(|(_, window)| window.more > 0)
            .map(|((issuer, why), window)| More { issuer, why, since: window.since, count: window.more })
            .collect()
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
        let now = self.ambient.now();
        self.note_more_refused(Some(now)).await;
        if self.issuers.refused.admit(&refusal, now) {
            self.note(refusal.draft()).await;
        }
    }

    /// Records how many were refused beyond those that are recorded, in the minutes that are over at `now`; in
    /// all of them, where `now` is nothing.
    pub(in crate::identity) async fn note_more_refused(&self, now: Option<Timestamp>) {
        for more in self.issuers.refused.over(now) {
            self.note(more.draft()).await;
        }
    }

    async fn note(&self, draft: Draft) {
        let recorded = match self.permits.permit(Service::SignIn, Action::SignIn, Resource::Workloads) {
            Ok(permit) => self.log.perform(NoteRefused { permit, draft }).await,
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

impl Refusal {
    fn draft(&self) -> Draft {
        let Self { workload, issuer, subject, why, network } = self;
        let subject: String = subject.chars().take(LONGEST_SUBJECT).collect();
        let mut draft = Draft::refused("workload.refused")
            .with("denial", *why)
            .with("issuer", issuer.as_str())
            .with("subject", subject);
        draft = match workload {
            Some(name) => draft.resource(format!("workload/{name}")),
            None => draft.resource("workloads"),
        };
        match network {
            Some(network) => draft.with("from", network.to_string()),
            None => draft,
        }
    }
}

impl More {
    fn draft(&self) -> Draft {
        Draft::refused("workload.refused")
            .with("denial", self.why)
            .with("issuer", self.issuer.as_str())
            .with("count", self.count)
            .with("since", self.since.to_string())
            .resource("workloads")
    }
}

struct NoteRefused {
    permit: Permit,
    draft: Draft,
}

#[async_trait]
impl Unit for NoteRefused {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Permit(&self.permit)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        work.record(self.draft.clone());
        Ok(())
    }
}
