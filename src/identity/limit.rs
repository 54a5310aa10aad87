//! How often one network may begin something that everybody may begin.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Mutex,
    time::Duration,
};

use crate::base::{Problem, ProblemKind, Result, Timestamp};

/// How many may be begun in a window.
const MOST: u32 = 120;
/// How long a window lasts.
const WINDOW: Duration = Duration::from_mins(1);
/// How many networks are remembered; beyond that the window is closed for all.
const MOST_NETWORKS: usize = 50_000;

/// Counts what each network has begun in the window that is open.
#[derive(Default)]
pub(super) struct Limit(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    window: Option<Timestamp>,
    by_network: HashMap<Option<IpAddr>, u32>,
}

impl Limit {
    /// Counts one more.
    ///
    /// # Errors
    /// `rate-limited`.
    pub(super) fn take(&self, network: Option<IpAddr>, now: Timestamp) -> Result<()> {
        let mut counted = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if counted.window.is_none_or(|began| now.since(began) >= WINDOW) {
            *counted = Counted { window: Some(now), by_network: HashMap::new() };
        }
        let full = counted.by_network.len() >= MOST_NETWORKS;
        let count = match counted.by_network.entry(network.map(whole)) {
            Entry::Occupied(known) => Some(known.into_mut()),
            // Nothing more is remembered: many networks at once are somebody with many.
            Entry::Vacant(_) if full => None,
            Entry::Vacant(new) => Some(new.insert(0)),
        };
        let refused = count.is_none_or(|count| {
            *count = count.saturating_add(1);
            *count > MOST
        });
        if refused {
            return Err(Problem::new(
                ProblemKind::RateLimited,
                "too many sign-ins were begun from your network",
            )
            .remedy("Try again in a minute."));
        }
        Ok(())
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
