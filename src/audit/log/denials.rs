//! Denials beyond a rate: whoever tries an action over and over, on one thing or on many, is recorded some
//! times in full, and then by a count, so that nobody fills the log by being refused.

use std::{
    collections::{BTreeSet, HashMap},
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

/// How many denials of one principal and action are recorded each by itself within [`WINDOW`].
const EACH: u32 = 20;
/// How many are told apart at a time. They are people and services, each known by then; beyond that, each
/// denial is recorded.
const MOST_WINDOWS: usize = 4096;
/// For how long they are counted together.
const WINDOW: Duration = Duration::from_mins(1);
/// How many of the things that were tried are named by a count.
const MOST_NAMED: usize = 16;

/// Who was refused what, and how often of late.
#[derive(Default)]
pub(super) struct Denials(Mutex<HashMap<(String, Action), Window>>);

struct Window {
    since: Timestamp,
    recorded: u32,
    counted: Counted,
    /// The newest of those that were only counted.
    newest: Option<Denial>,
}

/// Denials that were only counted.
#[derive(Default)]
struct Counted {
    times: u32,
    /// Some of the things that were tried.
    on: BTreeSet<String>,
}

impl Counted {
    fn count(&mut self, denial: &Denial) {
        self.times += 1;
        if self.on.len() < MOST_NAMED {
            self.on.insert(denial.resource().to_string());
        }
    }
}

impl Denials {
    fn windows(&self) -> MutexGuard<'_, HashMap<(String, Action), Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be recorded now: the denial, or nothing where it was counted.
    pub(super) fn admit(&self, denial: Denial, now: Timestamp) -> Option<RecordDenial> {
        let key = (denial.principal().to_string(), denial.action());
        let mut windows = self.windows();
        if !windows.contains_key(&key) && windows.len() >= MOST_WINDOWS {
            return Some(RecordDenial { denial, collapsed: None });
        }
        let window = windows.entry(key).or_insert_with(|| Window {
            since: now,
            recorded: 0,
            counted: Counted::default(),
            newest: None,
        });
        if window.recorded < EACH {
            window.recorded += 1;
            return Some(RecordDenial { denial, collapsed: None });
        }
        window.counted.count(&denial);
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
    collapsed: Option<(Counted, Timestamp)>,
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
        if let Some((counted, since)) = &self.collapsed {
            let on: Vec<String> = counted.on.iter().cloned().collect();
            draft = draft.with("count", counted.times).with("on", on).with("since", since.to_string());
        }
        work.record(draft);
        Ok(())
    }
}
