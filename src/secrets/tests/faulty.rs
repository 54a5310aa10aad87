//! A remote engine in memory that fails as it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::{
    base::{Problem, ProblemKind, Result, SecretValue},
    secrets::{Place, RemoteEngine, Stored, VersionState},
};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not.
    None,
    /// No answer; nothing was done.
    LostBefore,
    /// No answer; it was done.
    LostAfter,
    /// Nonsense for an answer; nothing was done.
    NonsenseBefore,
    /// Nonsense for an answer; it was done.
    NonsenseAfter,
    /// The caller ends before anything was done.
    CrashBefore,
    /// The caller ends after it was done.
    CrashAfter,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::None,
        Self::LostBefore,
        Self::LostAfter,
        Self::NonsenseBefore,
        Self::NonsenseAfter,
        Self::CrashBefore,
        Self::CrashAfter,
    ];

    const fn is_before(self) -> bool {
        matches!(self, Self::LostBefore | Self::NonsenseBefore | Self::CrashBefore)
    }
}

type Versions = Vec<(SecretValue, VersionState)>;

/// A KV engine.
#[derive(Default)]
pub(super) struct Faulty {
    kept: Mutex<BTreeMap<String, Versions>>,
    faults: Mutex<VecDeque<Fault>>,
    /// Told when a call hangs for good: whoever made it is to be dropped.
    pub(super) hangs: Notify,
}

impl Faulty {
    /// What the next calls that change something do.
    pub(super) fn will(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut planned = self.faults.lock().unwrap();
        planned.clear();
        planned.extend(faults);
    }

    /// How many versions there are at a place of ours.
    pub(super) fn count(&self, place: &Place) -> usize {
        self.kept().get(&format!("{place:?}")).map_or(0, Vec::len)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Versions>> {
        self.kept.lock().unwrap()
    }

    async fn change<T>(
        &self,
        place: &Place,
        change: impl FnOnce(&mut Versions) -> Result<T> + Send,
    ) -> Result<T> {
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        let answer = if fault.is_before() {
            None
        } else {
            Some(change(self.kept().entry(format!("{place:?}")).or_default())?)
        };
        match fault {
            Fault::None => answer.ok_or_else(|| Problem::internal("not reached")),
            Fault::LostBefore | Fault::LostAfter => {
                Err(Problem::new(ProblemKind::EngineUnavailable, "the engine does not answer"))
            }
            Fault::NonsenseBefore | Fault::NonsenseAfter => {
                Err(Problem::new(ProblemKind::EngineFault, "the engine answers nonsense"))
            }
            Fault::CrashBefore | Fault::CrashAfter => {
                self.hangs.notify_one();
                pending().await
            }
        }
    }

    async fn mark(
        &self,
        place: &Place,
        versions: &[u64],
        from: &[VersionState],
        to: VersionState,
    ) -> Result<()> {
        self.change(place, |kept| {
            for version in versions {
                let index = usize::try_from(*version).unwrap() - 1;
                if let Some((_, state)) = kept.get_mut(index).filter(|(_, state)| from.contains(state)) {
                    *state = to;
                }
            }
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl RemoteEngine for Faulty {
    fn own_mount(&self) -> &'static str {
        "port-control"
    }

    fn name(&self) -> &'static str {
        "vault"
    }

    async fn read(&self, place: &Place, version: Option<u64>) -> Result<Option<Stored>> {
        let kept = self.kept();
        let Some(versions) = kept.get(&format!("{place:?}")) else { return Ok(None) };
        let version = version.unwrap_or(versions.len() as u64);
        let found = usize::try_from(version).ok().and_then(|n| versions.get(n.checked_sub(1)?));
        Ok(found
            .filter(|(_, state)| *state == VersionState::Live)
            .map(|(value, _)| Stored { value: value.clone(), version }))
    }

    async fn write(&self, place: &Place, value: &SecretValue, expected: u64) -> Result<u64> {
        self.change(place, |kept| {
            if kept.len() as u64 != expected {
                return Err(Problem::new(ProblemKind::PreconditionFailed, "the newest is another"));
            }
            kept.push((value.clone(), VersionState::Live));
            Ok(kept.len() as u64)
        })
        .await
    }

    async fn newest(&self, place: &Place) -> Result<u64> {
        Ok(self.count(place) as u64)
    }

    async fn state(&self, place: &Place, version: u64) -> Result<VersionState> {
        let kept = self.kept();
        let index = usize::try_from(version).unwrap() - 1;
        let found = kept.get(&format!("{place:?}")).and_then(|versions| versions.get(index));
        Ok(found.map_or(VersionState::Absent, |(_, state)| *state))
    }

    async fn delete(&self, place: &Place, versions: &[u64]) -> Result<()> {
        self.mark(place, versions, &[VersionState::Live], VersionState::Deleted).await
    }

    async fn undelete(&self, place: &Place, versions: &[u64]) -> Result<()> {
        self.mark(place, versions, &[VersionState::Deleted], VersionState::Live).await
    }

    async fn destroy(&self, place: &Place, versions: &[u64]) -> Result<()> {
        self.mark(place, versions, &[VersionState::Live, VersionState::Deleted], VersionState::Destroyed)
            .await
    }
}
