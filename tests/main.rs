//! All integration tests, in one binary; it lists its tests at run time, because only then it is known
//! which servers there are.

mod broker;
mod cli;
mod engines;
mod identity;
mod log;
mod peers;
mod programs;
mod races;
mod rules;
mod scim;
mod story;
mod support;
mod telling;
mod web;

use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use peers::Peers;

/// What a module's tests are with the servers that there are.
type Trials = fn(&Arc<Peers>) -> Vec<Trial>;

const MODULES: &[Trials] = &[
    broker::trials,
    cli::trials,
    engines::trials,
    identity::trials,
    log::trials,
    programs::trials,
    races::trials,
    rules::trials,
    scim::trials,
    story::trials,
    support::trials,
    telling::trials,
    web::trials,
];

fn main() {
    let arguments = Arguments::from_args();
    let peers = Arc::new(Peers::from_env());
    let trials = MODULES.iter().flat_map(|trials| trials(&peers)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        support::say_what_is_not_covered(&peers);
    }
    conclusion.exit();
}
