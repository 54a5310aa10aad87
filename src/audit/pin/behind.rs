//! Pinning in a place that takes its time: behind the signing, the newest checkpoint at any moment.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle};

use super::Pin;
use crate::audit::{Checkpoint, VerifierKey};

/// Between two checkpoints that are pinned.
const BREATH: Duration = Duration::from_secs(1);
/// After one that could not be.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the last one may take when the server ends.
const LAST: Duration = Duration::from_secs(3);

/// What was signed, and the keys that it is believed by.
type Signed = (Checkpoint, String, Vec<VerifierKey>);

/// Whoever keeps a pin up.
pub(in crate::audit) struct Behind {
    newest: watch::Sender<Option<Signed>>,
    found: Arc<Mutex<Option<Checkpoint>>>,
    task: JoinHandle<()>,
}

impl Behind {
    /// Begins; `found` is what was pinned before.
    pub(in crate::audit) fn begin(pin: Pin, found: Option<Checkpoint>) -> Self {
        let (newest, told) = watch::channel(None);
        let found = Arc::new(Mutex::new(found));
        let task = tokio::spawn(keep_up(pin, told, Arc::clone(&found)));
        Self { newest, found, task }
    }

    /// Tells of what was signed.
    pub(in crate::audit) fn tell(&self, checkpoint: Checkpoint, note: String, keys: Vec<VerifierKey>) {
        self.newest.send_replace(Some((checkpoint, note, keys)));
    }

    /// What was pinned when it was last looked at, by whichever replica.
    pub(in crate::audit) fn found(&self) -> Option<Checkpoint> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pins the newest, if it can be done soon, and ends.
    pub(in crate::audit) async fn finish(self) {
        let Self { newest, task, .. } = self;
        drop(newest);
        let stop = task.abort_handle();
        if tokio::time::timeout(LAST, task).await.is_err() {
            stop.abort();
            tracing::warn!("the log's pin stays behind: its place does not answer in time");
        }
    }
}

async fn keep_up(pin: Pin, mut told: watch::Receiver<Option<Signed>>, found: Arc<Mutex<Option<Checkpoint>>>) {
    let mut is_behind = false;
    // What was told last is seen even where whoever told it has gone.
    while told.changed().await.is_ok() {
        let Some((checkpoint, note, keys)) = told.borrow_and_update().clone() else { continue };
        match pin.write(&checkpoint, &note, &keys).await {
            Ok(there) => {
                *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(there);
                if std::mem::take(&mut is_behind) {
                    tracing::info!(pin = pin.name(), "the log's pin keeps up again");
                }
                breathe(&told, BREATH).await;
            }
            Err(problem) => {
                if !std::mem::replace(&mut is_behind, true) {
                    tracing::warn!(%problem, "the log's pin stays behind");
                }
                if breathe(&told, AGAIN).await {
                    return;
                }
                told.mark_changed();
            }
        }
    }
}

/// Waits, unless whoever tells has gone, and says whether that is so: then what is left is done at once.
async fn breathe(told: &watch::Receiver<Option<Signed>>, long: Duration) -> bool {
    let mut told = told.clone();
    let gone = async { while told.changed().await.is_ok() {} };
    tokio::time::timeout(long, gone).await.is_ok()
}
