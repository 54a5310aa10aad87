//! How often one network may begin something that everybody may begin.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::base::{Problem, ProblemKind, Result, Timestamp};

/// How many sign-ins may be begun in a window.
const MOST_BEGUN: u32 = 120;
/// How many may fail in one: a person mistypes, a program guesses.
const MOST_FAILED: u32 = 30;
/// How long a window lasts.
const WINDOW: Duration = Duration::from_mins(1);
/// How many networks are remembered; beyond that the window is closed for all.
const MOST_NETWORKS: usize = 50_000;

/// Counts what each network has begun, or failed at, in the window that is open.
pub(super) struct Limit {
    counted: Mutex<Counted>,
    most: u32,
    what: &'static str,
}

#[derive(Default)]
struct Counted {
    window: Option<Timestamp>,
    by_network: HashMap<Option<IpAddr>, u32>,
}

impl Limit {
    /// For sign-ins that begin.
    pub(super) fn of_begun() -> Self {
        Self::new(MOST_BEGUN, "too many sign-ins were begun from your network")
    }

    /// For sign-ins that fail: answers that belong to none, codes that are none.
    pub(super) fn of_failed() -> Self {
        Self::new(MOST_FAILED, "too many sign-ins from your network have failed")
    }

    fn new(most: u32, what: &'static str) -> Self {
        Self { counted: Mutex::default(), most, what }
    }

    fn counted(&self, now: Timestamp) -> MutexGuard<'_, Counted> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.window.is_none_or(|began| now.since(began) >= WINDOW) {
            *counted = Counted { window: Some(now), by_network: HashMap::new() };
        }
        counted
    }

    fn refusal(&self) -> Problem {
        Problem::new(ProblemKind::RateLimited, self.what).remedy("Try again in a minute.")
    }

    /// Refuses whoever has used up what there is, and counts nothing.
    ///
    /// # Errors
    /// `rate-limited`.
    pub(super) fn look(&self, network: Option<IpAddr>, now: Timestamp) -> Result<()> {
        let count = self.counted(now).by_network.get(&network.map(whole)).copied().unwrap_or(0);
        if count < self.most { Ok(()) } else { Err(self.refusal()) }
    }

    /// Counts one more, whatever comes of it.
    pub(super) fn count(&self, network: Option<IpAddr>, now: Timestamp) {
        // Whether that was one too many is asked before the next.
        let _ = self.take(network, now);
    }

    /// Counts one more.
    ///
    /// # Errors
    /// `rate-limited`.
    pub(super) fn take(&self, network: Option<IpAddr>, now: Timestamp) -> Result<()> {
        let mut counted = self.counted(now);
        let full = counted.by_network.len() >= MOST_NETWORKS;
        let count = match counted.by_network.entry(network.map(whole)) {
            Entry::Occupied(known) => Some(known.into_mut()),
            // Nothing more is remembered: many networks at once are somebody with many.
            Entry::Vacant(_) if full => None,
            Entry::Vacant(new) => Some(new.insert(0)),
        };
        let refused = count.is_none_or(|count| {
            *count = count.saturating_add(1);
            *count > self.most
        });
        if refused { Err(self.refusal()) } else { Ok(()) }
    }
}

/// The address that stands for whoever calls: one IPv6 customer has a /64 of them.
pub(crate) fn whole(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        other => other.to_canonical(),
    }
}
