//! The two programs as processes: what `dev` shows, what `serve` refuses, what `check` finds, how they end.

mod check;
mod dev;
mod provider;
mod serve;

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::{
    peers::Peers,
    support::{block_on, trial},
};

/// Those that the servers which there are allow.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut all = vec![
        trial("programs::dev_plays_once_and_leaves_nothing", dev::plays_once_and_leaves_nothing),
        trial("programs::dev_stays_up_and_its_next_commands_run", dev::stays_up_and_its_next_commands_run),
        trial("programs::dev_is_for_loopback_alone", dev::is_for_loopback_alone),
        trial("programs::what_dev_made_is_not_served", dev::what_it_made_is_not_served),
        trial("programs::sigterm_loses_nothing", serve::sigterm_loses_nothing),
        trial(
            "programs::a_database_that_is_not_migrated_is_refused",
            serve::a_database_that_is_not_migrated_is_refused,
        ),
        trial("programs::another_master_key_is_refused", serve::another_master_key_is_refused),
        trial("programs::check_names_each_dependency_that_is_down", check::names_each_that_is_down),
    ];
    if peers.oidc_provider.is_some() {
        let peers = Arc::clone(peers);
        let test = move || block_on(provider::down_hanging_and_back(peers));
        all.push(Trial::test("programs::a_provider_that_is_down_or_hangs_is_named_and_heals", test));
    }
    if peers.oidc_provider.is_some() && peers.openbao.is_some() && peers.kubernetes.is_some() {
        let peers = Arc::clone(peers);
        all.push(Trial::test("programs::check_finds_all_well", move || {
            block_on(check::finds_all_well(peers))
        }));
    }
    all
}
