//! How far the log has come by the work of other replicas.

use std::time::Duration;

use tokio::sync::watch;

use super::{Head, rows::check_head};
use crate::store::{Database, exceptions::HeadRow, sql};

/// How often the head is looked at where nothing is heard: the other end may have gone without a word.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long after a lost connection the next is tried.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// Tells `head` what others appended, until nobody is interested. Ends at once on SQLite.
pub(super) async fn follow(database: Database, head: watch::Sender<Head>) {
    while !head.is_closed() {
        let mut changes = match database.head_changes().await {
            Ok(Some(changes)) => changes,
            Ok(None) => return,
            Err(_) => {
                tokio::time::sleep(LISTEN_AGAIN).await;
                continue;
            }
        };
        loop {
            // Looked at after listening began, so that nothing is missed in between.
            look(&database, &head).await;
            match tokio::time::timeout(LOOK_EVERY, changes.next()).await {
                Ok(Err(_)) => break,
                Ok(Ok(())) | Err(_) if head.is_closed() => return,
                Ok(Ok(())) | Err(_) => {}
            }
        }
    }
}

async fn look(database: &Database, head: &watch::Sender<Head>) {
    let row = database
        .fetch_optional::<HeadRow>(sql("SELECT size, root, edge, time FROM log_head WHERE id = 1"))
        .await;
    if let Ok(Some(row)) = row
        && let Ok((_, found)) = check_head(&row)
    {
        publish(head, found);
    }
}

/// Tells of a head, where it is news.
pub(super) fn publish(head: &watch::Sender<Head>, found: Head) {
    head.send_if_modified(|known| {
        let moved = found.size > known.size;
        if moved {
            *known = found;
        }
        moved
    });
}
