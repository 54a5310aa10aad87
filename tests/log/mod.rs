//! The one way to write, under everything that can happen to it.

mod archive;
mod archived;
mod broken_disk;
pub mod check;
mod crashes;
pub mod disk;
mod forgetting;
mod forwarder;
mod key_rotation;
mod kills;
mod mutations;
mod oracles;
mod outages;
mod pins;
pub mod published;
mod questions;
mod recover;
mod replicas;
mod room;
mod set_back;
mod signing;
pub mod site;
mod witness;
mod writing;

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::peers::Peers;

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        writing::trials(peers),
        replicas::trials(peers),
        pins::trials(peers),
        room::trials(peers),
        outages::trials(peers),
        disk::trials(peers),
        forgetting::trials(peers),
        archive::trials(peers),
        archived::trials(peers),
        broken_disk::trials(peers),
        crashes::trials(peers),
        kills::trials(peers),
        key_rotation::trials(peers),
        set_back::trials(peers),
        recover::trials(peers),
        signing::trials(peers),
        witness::trials(peers),
        forwarder::trials(peers),
        questions::trials(peers),
        oracles::trials(peers),
        mutations::trials(peers),
    ]
    .into_iter()
    .flatten()
    .collect()
}
