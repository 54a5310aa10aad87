//! The service provider of SCIM, asked as identity providers do.

mod abuse;
mod commands;
mod connections;
mod disabled;
mod entra;
mod filters;
mod large;
mod okta;
mod removals;
mod side_by_side;
mod tester;
mod wire;

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::peers::Peers;

/// All of them.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        abuse::trials(peers),
        commands::trials(peers),
        connections::trials(peers),
        disabled::trials(peers),
        entra::trials(peers),
        filters::trials(peers),
        large::trials(peers),
        okta::trials(peers),
        removals::trials(peers),
        side_by_side::trials(peers),
        tester::trials(peers),
    ]
    .into_iter()
    .flatten()
    .collect()
}
