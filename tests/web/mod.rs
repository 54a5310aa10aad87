//! What holds for all of the HTTP API and all pages, on a whole server.

mod house;
mod permits;
mod records;
mod routes;

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::peers::Peers;

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [permits::trials(peers), records::trials(peers)].into_iter().flatten().collect()
}
