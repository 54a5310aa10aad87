//! Watching how much room the database has left.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{Database, Room, shown};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(30);

/// Looks, sets the metrics, and says once when room is short, until `stop`.
pub(super) async fn watch(database: Database, capacity: Option<u64>, stop: CancellationToken) {
    let mut was_short = false;
    while !stop.is_cancelled() {
        match database.room(capacity).await {
            Ok(room) => was_short = tell(room, was_short),
            Err(error) => tracing::debug!(%error, "how much room the database has is not known"),
        }
        drop(tokio::time::timeout(EVERY, stop.cancelled()).await);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn tell(room: Room, was_short: bool) -> bool {
    metrics::gauge!("port_control_database_used_bytes").set(room.used as f64);
    if let Some(free) = room.free {
        metrics::gauge!("port_control_database_free_bytes").set(free as f64);
        if room.is_short() && !was_short {
            tracing::warn!(free = shown(free), used = shown(room.used), "the database has little room left");
        }
    }
    room.is_short()
}
