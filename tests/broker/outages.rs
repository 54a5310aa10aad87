//! The cluster is away, hangs, loses answers or says nonsense: it is said, nothing is lost, and
//! delivering goes on by itself.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::base::time::Stopwatch;
use serde_json::json;

use super::{
    SECRET, Site, annotation, cluster,
    front::{Act, Front},
    keys, uid,
    wire::{Wire, wire},
    with_cluster,
};
use crate::{
    peers::{Kubernetes, Peers, wait_for},
    support::{Given, house::BOUND},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        with_cluster(peers, "a_cut_wire_heals", a_cut_wire_heals),
        with_cluster(peers, "a_cluster_that_hangs_holds_nobody_up", a_cluster_that_hangs_holds_nobody_up),
        with_cluster(peers, "a_killed_api_server_comes_back", a_killed_api_server_comes_back),
        with_cluster(peers, "a_lost_answer_is_looked_for", a_lost_answer_is_looked_for),
        with_cluster(peers, "a_watch_that_is_too_old_begins_anew", a_watch_that_is_too_old_begins_anew),
        with_cluster(peers, "nonsense_is_named_and_survived", nonsense_is_named_and_survived),
        with_cluster(peers, "renewed_credentials_are_read", renewed_credentials_are_read),
        with_cluster(peers, "a_restart_finds_what_was_missed", a_restart_finds_what_was_missed),
        with_cluster(peers, "trouble_is_not_looked_at_more_often_for_being_woken", trouble_is_paced),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn a_cut_wire_heals(given: Given) -> Result<()> {
    let (seen, state) = wire(&cluster(&given)?).await?;
    let site = Site::through(given, &seen).await?;
    let before = site.deliver("PASSWORD", "one").await?;
    state.send_replace(Wire::Cut);
    site.house.set("PASSWORD", "two").await?;
    site.house.set("USER", "reports").await?;
    site.house.says("reports", "unreachable", &["the cluster 'main'", "not reached"]).await?;
    state.send_replace(Wire::Whole);
    let now = site.holds("PASSWORD", "two").await?;
    ensure!(uid(&now) == uid(&before) && keys(&now) == ["PASSWORD", "USER"], "{now}");
    site.house.stands("reports", "delivered").await?;
    // The watch has healed, too.
    site.cluster.patch_secret(&site.namespace, SECRET, json!({ "data": { "EDITED": "eA==" } })).await?;
    restored(&site, 1).await?;
    site.close().await
}

async fn a_cluster_that_hangs_holds_nobody_up(given: Given) -> Result<()> {
    let (seen, state) = wire(&cluster(&given)?).await?;
    let site = Site::through(given, &seen).await?;
    site.deliver("PASSWORD", "one").await?;
    state.send_replace(Wire::Held);
    let since = Stopwatch::start();
    site.house.set("PASSWORD", "two").await?;
    site.house.says("reports", "unreachable", &["the cluster 'main'", "no answer within"]).await?;
    ensure!(since.elapsed() < BOUND / 2, "said after {:?}", since.elapsed());
    let since = Stopwatch::start();
    site.house.set("PASSWORD", "three").await?;
    ensure!(since.elapsed().as_secs() < 2, "setting took {:?}", since.elapsed());
    state.send_replace(Wire::Whole);
    site.holds("PASSWORD", "three").await?;
    site.house.stands("reports", "delivered").await?;
    site.close().await
}

/// Its watches' versions are from before what the new one remembers.
async fn a_killed_api_server_comes_back(given: Given) -> Result<()> {
    let mut private = Kubernetes::start_private().await?;
    let namespace = private.create_namespace("supa").await?;
    private.write_limited_kubeconfig(&given.folder.path().join("kubeconfig"), &[&namespace]).await?;
    let house = crate::support::house::House::open(&super::settings(&given)).await?;
    house.declare(&super::declared(&namespace)).await?;
    house.set("PASSWORD", "one").await?;
    super::holds(&private, &namespace, SECRET, "PASSWORD", "one").await?;
    for n in 0..5 {
        private.put_secret(&namespace, &format!("other-{n}"), &[("A", "x")]).await?;
    }
    private.kill();
    house.set("PASSWORD", "two").await?;
    house.says("reports", "unreachable", &["the cluster 'main'", "not reached"]).await?;
    private.start_again().await?;
    super::holds(&private, &namespace, SECRET, "PASSWORD", "two").await?;
    house.stands("reports", "delivered").await?;
    private.patch_secret(&namespace, SECRET, json!({ "data": { "EDITED": "eA==" } })).await?;
    let look = async || {
        let now = private.secret(&namespace, SECRET).await.ok()??;
        (keys(&now) == ["PASSWORD"]).then_some(())
    };
    wait_for("the edit is put back", BOUND, look).await?;
    house.close().await
}

async fn a_lost_answer_is_looked_for(given: Given) -> Result<()> {
    let front = Front::open(&cluster(&given)?).await?;
    let site = Site::through(given, &front.cluster).await?;
    site.house.stands("reports", "waiting-for-values").await?;
    front.act(Act::Lose);
    site.house.set("PASSWORD", "one").await?;
    let first = site.holds("PASSWORD", "one").await?;
    site.house.stands("reports", "delivered").await?;
    ensure!(front.count("POST") == 1, "created {} times", front.count("POST"));
    site.house.set("PASSWORD", "two").await?;
    let second = site.holds("PASSWORD", "two").await?;
    let look = async || {
        let it = site.house.delivery("reports").await.ok()?;
        (it.state == "delivered" && it.generation == Some(2)).then_some(())
    };
    wait_for("the second write is known to be done", BOUND, look).await?;
    ensure!(front.count("PUT") == 1, "replaced {} times", front.count("PUT"));
    ensure!(uid(&first) == uid(&second) && annotation(&second, "generation") == "2", "{second}");
    ensure!(site.house.entries("delivery.written").await?.len() == 2);
    site.close().await
}

async fn a_watch_that_is_too_old_begins_anew(given: Given) -> Result<()> {
    let front = Front::open(&cluster(&given)?).await?;
    let site = Site::through(given, &front.cluster).await?;
    site.deliver("PASSWORD", "one").await?;
    let watches = || front.heard().iter().filter(|it| it.contains("watch=true")).count();
    let look = async |more: usize| (watches() >= more).then_some(());
    wait_for("a watch", BOUND, || look(1)).await?;
    front.act(Act::Expire);
    let before = watches();
    front.end_watches();
    wait_for("watches that are too old", BOUND, || look(before + 2)).await?;
    front.act(Act::Pass);
    let before = watches();
    wait_for("a watch that lasts", BOUND, || look(before + 1)).await?;
    site.cluster.patch_secret(&site.namespace, SECRET, json!({ "data": { "EDITED": "eA==" } })).await?;
    restored(&site, 1).await?;
    let lists: Vec<String> = front
        .heard()
        .into_iter()
        .filter(|it| it.contains("labelSelector") && !it.contains("watch=true"))
        .collect();
    ensure!(lists.iter().all(|it| it.contains("resourceVersion=0")), "a list that waits for etcd: {lists:?}");
    site.close().await
}

const BUSY: &str =
    r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"ServiceUnavailable","code":503}"#;

async fn nonsense_is_named_and_survived(given: Given) -> Result<()> {
    let front = Front::open(&cluster(&given)?).await?;
    let site = Site::through(given, &front.cluster).await?;
    site.deliver("PASSWORD", "one").await?;
    for (number, (act, says)) in [
        (Act::Say(200, "<html>Sign in to the proxy</html>"), "what no API server answers"),
        (Act::Say(200, "{}"), "what no API server answers"),
        (Act::Say(503, BUSY), "503"),
        (Act::Say(503, "{}"), "what no API server answers"),
        (Act::Say(500, "not even JSON"), "the cluster 'main'"),
        (Act::Say(302, ""), "the cluster 'main'"),
    ]
    .into_iter()
    .enumerate()
    {
        front.act(act);
        let value = format!("{number}");
        site.house.set("PASSWORD", &value).await?;
        site.house.says("reports", "unreachable", &[says]).await?;
        front.act(Act::Pass);
        site.holds("PASSWORD", &value).await?;
        site.house.stands("reports", "delivered").await?;
    }
    site.close().await
}

async fn renewed_credentials_are_read(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    site.deliver("PASSWORD", "one").await?;
    let site = {
        let file = site.given.folder.path().join("kubeconfig");
        let good = std::fs::read(&file)?;
        let (given, cluster, namespace) = (site.given, site.cluster, site.namespace);
        site.house.close().await?;
        cluster.write_kubeconfig(&file, "expired")?;
        let house = crate::support::house::House::open(&super::settings(&given)).await?;
        house.set("PASSWORD", "two").await?;
        house.says("reports", "unreachable", &["401", "kubeconfig"]).await?;
        std::fs::write(&file, good)?;
        Site { given, cluster, namespace, house }
    };
    site.holds("PASSWORD", "two").await?;
    site.house.stands("reports", "delivered").await?;
    site.cluster.patch_secret(&site.namespace, SECRET, json!({ "data": { "EDITED": "eA==" } })).await?;
    restored(&site, 1).await?;
    site.close().await
}

async fn a_restart_finds_what_was_missed(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let before = site.deliver("PASSWORD", "one").await?;
    let (given, cluster, namespace) = (site.given, site.cluster, site.namespace);
    site.house.close().await?;
    cluster.patch_secret(&namespace, SECRET, json!({ "data": { "EDITED": "eA==" } })).await?;
    let house = crate::support::house::House::open(&super::settings(&given)).await?;
    let site = Site { given, cluster, namespace, house };
    restored(&site, 1).await?;
    let now = site.there().await?;
    ensure!(uid(&now) == uid(&before) && keys(&now) == ["PASSWORD"], "{now}");
    site.close().await
}

/// Each wake-up looks once; it does not make the looking that trouble brings about any more frequent.
async fn trouble_is_paced(given: Given) -> Result<()> {
    let front = Front::open(&cluster(&given)?).await?;
    let site = Site::through(given, &front.cluster).await?;
    site.house.stands("reports", "waiting-for-values").await?;
    front.act(Act::Say(503, BUSY));
    let wakes = 40;
    for number in 0..wakes {
        site.house.set("PASSWORD", &format!("{number}")).await?;
    }
    site.house.stands("reports", "unreachable").await?;
    // By now it looks again every five seconds or so: two looks later there have been about two.
    let reads = || front.heard().iter().filter(|it| it.ends_with(SECRET)).count();
    let look = async |more: usize| (reads() >= more).then_some(());
    let settled = reads();
    wait_for("more looks", BOUND, || look(settled + 6)).await?;
    let (before, since) = (reads(), Stopwatch::start());
    wait_for("two looks more", BOUND, || look(before + 2)).await?;
    ensure!(since.elapsed().as_secs() >= 3, "looked {} times within {:?}", reads() - before, since.elapsed());
    front.act(Act::Pass);
    site.holds("PASSWORD", &format!("{}", wakes - 1)).await?;
    site.close().await
}

/// Waits until something was put back so many times.
async fn restored(site: &Site, times: usize) -> Result<()> {
    let look = async || (site.house.entries("delivery.restored").await.ok()?.len() == times).then_some(());
    wait_for("what was edited is put back", BOUND, look).await
}
