//! Signing in, and what becomes of a sign-in, against a real OpenID provider: each test has a realm of its
//! own there, with people and a client.

mod abuse;
mod check;
mod device;
mod house;
mod logout;
mod providers;
mod revalidation;
mod step_up;

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::peers::Peers;

/// Those that need no provider, and where there is one, the others.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut all = device::trials(peers);
    all.extend(check::trials(peers));
    if peers.oidc_provider.is_some() {
        for trials in
            [abuse::trials, logout::trials, providers::trials, revalidation::trials, step_up::trials]
        {
            all.extend(trials(peers));
        }
    }
    all
}
