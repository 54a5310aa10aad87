//! Denials beyond a rate: whoever tries the same thing over and over is recorded some times in full, and
//! then by a count, so that nobody fills the log by being refused.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    audit::{
        entry::{Draft, EntryKind},
        unit::{Authority, Unit, Work},
    },
    base::{Result, Timestamp},
    policy::{Action, Denial},
};

/// How many denials of one principal, action and resource are recorded each by itself within [`WINDOW`].
const EACH: u32 = 20;
/// How many are told apart at a time.
const MOST_WINDOWS: usize = 4096;
/// For how long they are counted together.
const WINDOW: Duration = Duration::from_mins(1);

/// Who was refused what, and how often of late.
#[derive(Default)]
pub(super) struct Denials(Mutex<HashMap<(String, Action, String), Window>>);

struct Window {
    since: Timestamp,
    recorded: u32,
    counted: u32,
    /// The newest of those that were only counted.
    newest: Option<Denial>,
}

impl Denials {
    fn windows(&self) -> MutexGuard<'_, HashMap<(String, Action, String), Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be recorded now: the denial, or nothing where it was counted.
    pub(super) fn admit(&self, denial: Denial, now: Timestamp) -> Option<RecordDenial> {
        let (principal, action) = (denial.principal().to_string(), denial.action());
        let mut windows = self.windows();
        let mut key = (principal, action, denial.resource().to_string());
        // Whoever tries very many things is counted for all of them together.
        if !windows.contains_key(&key) && windows.len() >= MOST_WINDOWS {
            key.2 = String::new();
        }
        let window =
            windows.entry(key).or_insert(Window { since: now, recorded: 0, counted: 0, newest: None });
        if window.recorded < EACH {
            window.recorded += 1;
            return Some(RecordDenial { denial, collapsed: None });
        }
        window.counted += 1;
        window.newest = Some(denial);
        None
    }

    /// The counts of all windows that are over at `now`; of all, where `now` is nothing.
    pub(super) fn over(&self, now: Option<Timestamp>) -> Vec<RecordDenial> {
        let is_over = |window: &Window| now.is_none_or(|now| now.since(window.since) >= WINDOW);
        self.windows()
            .extract_if(|_, window| is_over(window))
            .filter_map(|(_, window)| {
                let collapsed = Some((window.counted, window.since));
                window.newest.map(|denial| RecordDenial { denial, collapsed })
            })
            .collect()
    }
}

/// Records a denial, or that there were more like it.
pub(super) struct RecordDenial {
    denial: Denial,
    collapsed: Option<(u32, Timestamp)>,
}

#[async_trait]
impl Unit for RecordDenial {
    type Output = ();

    fn authority(&self) -> Authority<'_> {
        Authority::Denial(&self.denial)
    }

    async fn run(&self, work: &mut Work<'_>) -> Result<()> {
        let denial = &self.denial;
        let mut draft = Draft::of(EntryKind::Denial, denial.action().as_str(), "deny")
            .with("denial", denial.reason().as_str())
            .resource(denial.resource());
        if let Some(at) = denial.resource().environment() {
            draft = match denial.resource().secret() {
                Some(name) => draft.secret(&at.at, name),
                None => draft.environment(&at.at),
            };
        }
        if let Some((count, since)) = self.collapsed {
            draft = draft.with("count", count).with("since", since.to_string());
        }
        work.record(draft);
        Ok(())
    }
}
