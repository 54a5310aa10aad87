//! A dynamic engine in memory that fails as it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::{
    base::{Problem, ProblemKind, Result},
    secrets::leases::{EngineRole, Handle, Issued, LeaseEngine, Life, Opened},
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
    /// Nonsense for an answer; it was done.
    NonsenseAfter,
    /// The caller ends before anything was done.
    CrashBefore,
    /// The caller ends after it was done.
    CrashAfter,
}

impl Fault {
    pub(super) const ALL: [Self; 6] = [
        Self::None,
        Self::LostBefore,
        Self::LostAfter,
        Self::NonsenseAfter,
        Self::CrashBefore,
        Self::CrashAfter,
    ];
}

/// A token: whether it lives, and the lease that was issued under it.
#[derive(Default)]
struct Token {
    lives: bool,
    lease: Option<String>,
}

#[derive(Default)]
pub(super) struct Bank {
    tokens: Mutex<BTreeMap<String, Token>>,
    faults: Mutex<VecDeque<Fault>>,
    most: AtomicU64,
    pauses: AtomicBool,
    paused: Notify,
    goes_on: Notify,
    /// Told when a call hangs for good: whoever made it is to be dropped.
    pub(super) hangs: Notify,
}

impl Bank {
    /// What the next calls do.
    pub(super) fn will(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut planned = self.faults.lock().unwrap();
        planned.clear();
        planned.extend(faults);
    }

    /// How many of them are still to come.
    pub(super) fn planned(&self) -> usize {
        self.faults.lock().unwrap().len()
    }

    /// Nothing lasts longer than so many seconds.
    pub(super) fn gives_at_most(&self, seconds: u64) {
        self.most.store(seconds, Ordering::SeqCst);
    }

    /// The next reading of credentials stops before it answers.
    pub(super) fn pauses_at_read(&self) {
        self.pauses.store(true, Ordering::SeqCst);
    }

    pub(super) async fn paused(&self) {
        self.paused.notified().await;
    }

    pub(super) fn goes_on(&self) {
        self.goes_on.notify_one();
    }

    /// The leases whose credentials work.
    pub(super) fn alive(&self) -> Vec<String> {
        self.tokens().values().filter(|it| it.lives).filter_map(|it| it.lease.clone()).collect()
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<String, Token>> {
        self.tokens.lock().unwrap()
    }

    fn seconds(&self, wanted: u64) -> u64 {
        match self.most.load(Ordering::SeqCst) {
            0 => wanted,
            most => wanted.min(most),
        }
    }

    async fn call<T: Send>(&self, done: impl FnOnce(&Self) -> Result<T> + Send) -> Result<T> {
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        let answer = match fault {
            Fault::LostBefore | Fault::CrashBefore => None,
            _ => Some(done(self)?),
        };
        match fault {
            Fault::None => answer.ok_or_else(|| Problem::internal("not reached")),
            Fault::LostBefore | Fault::LostAfter => {
                Err(Problem::new(ProblemKind::EngineUnavailable, "the engine does not answer"))
            }
            Fault::NonsenseAfter => {
                Err(Problem::new(ProblemKind::EngineFault, "the engine answers nonsense"))
            }
            Fault::CrashBefore | Fault::CrashAfter => {
                self.hangs.notify_one();
                pending().await
            }
        }
    }
}

#[async_trait]
impl LeaseEngine for Bank {
    async fn open(&self, _: Life) -> Result<Opened> {
        self.call(|it| {
            let mut tokens = it.tokens();
            let number = tokens.len() + 1;
            tokens.insert(format!("accessor-{number}"), Token { lives: true, lease: None });
            Ok(Opened { accessor: format!("accessor-{number}"), token: format!("token-{number}").into() })
        })
        .await
    }

    async fn read(&self, opened: &Opened, role: &EngineRole, seconds: u64) -> Result<Issued> {
        assert_eq!((role.mount.as_str(), role.role.as_str()), ("database", "reader"));
        if self.pauses.swap(false, Ordering::SeqCst) {
            self.paused.notify_one();
            self.goes_on.notified().await;
        }
        self.call(|it| {
            let mut tokens = it.tokens();
            let number = opened.accessor.trim_start_matches("accessor-").to_owned();
            let token = tokens.get_mut(&opened.accessor).filter(|it| it.lives);
            let token =
                token.ok_or_else(|| Problem::new(ProblemKind::EngineFault, "permission is denied"))?;
            token.lease = Some(format!("lease-{number}"));
            Ok(Issued {
                lease: format!("lease-{number}"),
                seconds: it.seconds(seconds),
                values: BTreeMap::from([("password".to_owned(), format!("password-{number}").into())]),
            })
        })
        .await
    }

    async fn renew(&self, handle: &Handle, seconds: u64) -> Result<u64> {
        assert!(handle.accessor.is_some() && handle.lease.is_some(), "{handle:?}");
        self.call(|it| Ok(it.seconds(seconds))).await
    }

    async fn revoke(&self, handle: &Handle) -> Result<()> {
        self.call(|it| {
            let mut tokens = it.tokens();
            let accessor = handle.accessor.as_deref().expect("every lease has a token of its own");
            if let Some(token) = tokens.get_mut(accessor) {
                token.lives = false;
            }
            Ok(())
        })
        .await
    }
}
