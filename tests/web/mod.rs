//! What holds for all of the HTTP API and all pages, on a whole server.

mod abuse;
mod access;
mod exports;
mod exposures;
pub mod house;
mod idempotency;
mod movers;
mod openapi;
mod outages;
mod permits;
mod questions;
mod records;
mod rotation;
mod routes;
mod shell;
mod sign_in;
mod told;
mod workloads;

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::peers::Peers;

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        abuse::trials(peers),
        access::trials(peers),
        exports::trials(peers),
        exposures::trials(peers),
        idempotency::trials(peers),
        movers::trials(peers),
        openapi::trials(peers),
        outages::trials(peers),
        permits::trials(peers),
        questions::trials(peers),
        records::trials(peers),
        rotation::trials(peers),
        shell::trials(peers),
        sign_in::trials(peers),
        told::trials(peers),
        workloads::trials(peers),
    ]
    .into_iter()
    .flatten()
    .collect()
}
