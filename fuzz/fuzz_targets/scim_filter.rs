//! A filter of SCIM becomes a condition or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use port_control::identity::scim::filter::{Among, compile, parse};

fuzz_target!(|text: &str| {
    if let Ok(filter) = parse(text) {
        for among in [Among::People, Among::Groups] {
            drop(compile(&filter, among, 1, false));
        }
    }
});
