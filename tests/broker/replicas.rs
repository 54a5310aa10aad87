//! Two servers on one PostgreSQL deliver the same deliveries, and do not fight.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;

use super::{SECRET, Site, annotation, cluster, front::Front, keys, untouched, version};
use crate::{
    peers::{Peers, wait_for},
    support::{
        Given,
        house::{BOUND, House},
        on_postgres,
    },
};

const ROUNDS: usize = 15;

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    on_postgres(peers, "broker::two_replicas_do_not_fight", two_replicas_do_not_fight)
        .into_iter()
        .chain(on_postgres(peers, "broker::a_replica_takes_over", a_replica_takes_over))
        .collect()
}

/// Waits until there are this many entries of an action, and refuses more.
async fn noted(site: &Site, action: &str, count: usize) -> Result<()> {
    let enough = async || {
        let entries = site.house.entries(action).await.ok()?.len();
        (entries >= count).then_some(entries)
    };
    let entries = wait_for(&format!("{count} entries of {action}"), BOUND, enough).await?;
    ensure!(entries == count, "{entries} entries of {action} instead of {count}");
    Ok(())
}

async fn two_replicas_do_not_fight(given: Given) -> Result<()> {
    let front = Front::open(&cluster(&given)?).await?;
    let site = Site::through(given, &front.cluster).await?;
    let other = House::open(&super::settings(&site.given)).await?;
    for round in 0..ROUNDS {
        let value = format!("{round}");
        let house = if round % 2 == 0 { &site.house } else { &other };
        house.set("PASSWORD", &value).await?;
        site.holds("PASSWORD", &value).await?;
    }
    // The Secret is there a moment before its outcome is noted.
    noted(&site, "delivery.written", ROUNDS).await?;
    other.stands("reports", "delivered").await?;
    let restored = site.house.entries("delivery.restored").await?;
    ensure!(restored.is_empty(), "{} times put back what nobody touched", restored.len());
    let written = site.house.entries("delivery.written").await?.len();
    let writes = front.count("POST") + front.count("PUT");
    ensure!(written == ROUNDS && writes == ROUNDS, "{writes} writes, {written} entries of {ROUNDS} versions");
    let now = site.there().await?;
    ensure!(annotation(&now, "generation") == format!("{ROUNDS}"), "{now}");
    // What is edited is put back once, by one of them.
    site.cluster.patch_secret(&site.namespace, SECRET, json!({ "data": { "EDITED": "eA==" } })).await?;
    let edited = version(&site.there().await?).to_owned();
    let back = async || site.now().await.ok()?.filter(|it| keys(it) == ["PASSWORD"] && version(it) != edited);
    let back = wait_for("it is put back", BOUND, back).await?;
    // A second delivery of the same values, made by either: both have been at work since.
    site.house.set("PASSWORD", "last").await?;
    site.holds("PASSWORD", "last").await?;
    noted(&site, "delivery.restored", 1).await?;
    ensure!(version(&back) != version(&site.there().await?));
    let settled = site.there().await?;
    other.close().await?;
    untouched(&settled, &site.there().await?)?;
    site.close().await
}

async fn a_replica_takes_over(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let other = House::open(&super::settings(&site.given)).await?;
    site.deliver("PASSWORD", "one").await?;
    site.house.close().await?;
    other.set("PASSWORD", "two").await?;
    super::holds(&site.cluster, &site.namespace, SECRET, "PASSWORD", "two").await?;
    site.cluster.delete_secret(&site.namespace, SECRET).await?;
    super::holds(&site.cluster, &site.namespace, SECRET, "PASSWORD", "two").await?;
    other.close().await
}
