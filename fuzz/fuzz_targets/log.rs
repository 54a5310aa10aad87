//! What is published of a log is read or refused, and what is read is written as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use port_control::audit::{VerifierKey, opened::LeafV1, tile::unbundle};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(leaf) = LeafV1::read(bytes) {
        assert_eq!(serde_json::to_vec(&leaf).ok().as_deref(), Some(bytes));
    }
    drop(unbundle(bytes));
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(key) = text.parse::<VerifierKey>()
    {
        assert_eq!(key.to_string(), text.trim());
    }
});
