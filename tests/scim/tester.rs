//! The tester that SCIM's own people wrote: every check of it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;

use super::wire::Wire;
use crate::{
    peers::Peers,
    support::{Given, on_each_database},
};

/// It, where it was built.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    if peers.scim_tester.is_none() {
        return Vec::new();
    }
    on_each_database(peers, "scim::the_tester_is_content", is_content)
}

async fn is_content(given: Given) -> Result<()> {
    let tester = given.peers.scim_tester.clone().context("it was not built")?;
    // It removes many people at once.
    let wire = Wire::open_with(&given, json!({ "may_reactivate": true, "removals_number": 1000 })).await?;
    let said = tester.test(&format!("{}/scim/v2/okta", wire.house.url), &wire.token).await?;
    let count = |word: &str| said.matches(word).count();
    ensure!(count("SUCCESS") > 100, "{said}");
    for word in ["ERROR", "CRITICAL", "DEVIATION"] {
        ensure!(count(word) == 0, "{word}:\n{said}");
    }
    wire.house.close().await
}
