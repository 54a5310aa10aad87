//! What should be there appears, follows, is put back, and is left alone while paused.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::client::SecretChange;
use serde_json::json;

use super::{SECRET, Site, annotation, declared, delivery, keys, text, uid, version, with_cluster};
use crate::{
    peers::{Peers, wait_for},
    support::{Given, house::BOUND},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        with_cluster(peers, "a_secret_appears_with_its_origin", a_secret_appears_with_its_origin),
        with_cluster(peers, "a_new_version_is_followed", a_new_version_is_followed),
        with_cluster(peers, "an_edit_is_put_back", an_edit_is_put_back),
        with_cluster(peers, "a_deletion_is_put_back", a_deletion_is_put_back),
        with_cluster(peers, "what_others_put_on_it_stays", what_others_put_on_it_stays),
        with_cluster(peers, "a_paused_delivery_is_left_alone", a_paused_delivery_is_left_alone),
        with_cluster(peers, "a_pause_ends_by_itself", a_pause_ends_by_itself),
        with_cluster(peers, "a_delivery_that_moves_leaves_nothing", a_delivery_that_moves_leaves_nothing),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn a_secret_appears_with_its_origin(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    site.house.says("reports", "waiting-for-values", &["reports/sandbox"]).await?;
    ensure!(site.now().await?.is_none(), "a Secret without values");
    let secret = site.deliver("PASSWORD", "one").await?;
    for (name, value) in [
        ("app.kubernetes.io~1managed-by", "port-control"),
        ("portcontrol.dev~1application", "reports"),
        ("portcontrol.dev~1environment", "sandbox"),
        ("portcontrol.dev~1team", "supa-team"),
    ] {
        ensure!(text(&secret, &format!("/metadata/labels/{name}")) == value, "{name} in {secret}");
    }
    ensure!(annotation(&secret, "delivery") == "reports" && annotation(&secret, "generation") == "1");
    let index: u64 = annotation(&secret, "audit-index").parse()?;
    let written = site.house.entries("delivery.writing").await?;
    // Entries of others may have been committed with it.
    ensure!(written.iter().any(|it| (index..index + 8).contains(&it.index)), "no entry at {index}");
    ensure!(!secret.to_string().contains("dana"), "a person is named in the cluster");
    site.close().await
}

async fn a_new_version_is_followed(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let first = site.deliver("PASSWORD", "one").await?;
    let second = site.deliver("PASSWORD", "two").await?;
    ensure!(uid(&first) == uid(&second), "it was made anew");
    ensure!(annotation(&second, "generation") == "2", "{second}");
    site.deliver("USER", "dana").await?;
    let at = "reports/sandbox/USER".parse().map_err(anyhow::Error::msg)?;
    site.house.dana.change_secret(&at, SecretChange::Delete, None).await?;
    let gone = async || site.now().await.ok()?.filter(|it| keys(it) == ["PASSWORD"]);
    wait_for("the deleted key is gone", BOUND, gone).await?;
    site.close().await
}

async fn an_edit_is_put_back(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let before = site.deliver("PASSWORD", "one").await?;
    let edits = [
        json!({ "data": { "EDITED": "eA==" } }),
        json!({ "data": { "PASSWORD": "eA==" } }),
        json!({ "data": null }),
        json!({ "metadata": { "labels": { "portcontrol.dev/team": "mine" } } }),
        json!({ "metadata": { "annotations": { "portcontrol.dev/generation": "7" } } }),
    ];
    for (count, edit) in edits.into_iter().enumerate() {
        site.cluster.patch_secret(&site.namespace, SECRET, edit.clone()).await?;
        let restored =
            async || (site.house.entries("delivery.restored").await.ok()?.len() > count).then_some(());
        wait_for(&format!("{edit} is put back"), BOUND, restored).await?;
        let now = site.there().await?;
        ensure!(now["data"] == before["data"], "{now}");
        ensure!(now["metadata"]["labels"] == before["metadata"]["labels"], "{now}");
        ensure!(annotation(&now, "generation") == "1", "putting back is no new generation: {now}");
    }
    let entries = site.house.entries("delivery.restored").await?;
    let remedy = entries[0].payload["remedy"].as_str().context("no remedy")?;
    ensure!(remedy.contains("portctl delivery pause reports --for"), "{remedy}");
    site.close().await
}

async fn a_deletion_is_put_back(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let before = site.deliver("PASSWORD", "one").await?;
    site.cluster.delete_secret(&site.namespace, SECRET).await?;
    let now = site.holds("PASSWORD", "one").await?;
    ensure!(uid(&now) != uid(&before));
    let restored = async || (site.house.entries("delivery.restored").await.ok()?.len() == 1).then_some(());
    wait_for("the entry", BOUND, restored).await?;
    site.close().await
}

async fn what_others_put_on_it_stays(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    site.deliver("PASSWORD", "one").await?;
    let theirs = json!({ "metadata": {
        "labels": { "theirs": "yes" },
        "annotations": { "example.com/theirs": "yes" },
        "finalizers": ["example.com/hold"],
    }});
    site.cluster.patch_secret(&site.namespace, SECRET, theirs).await?;
    let now = site.deliver("PASSWORD", "two").await?;
    ensure!(text(&now, "/metadata/labels/theirs") == "yes", "{now}");
    ensure!(text(&now, "/metadata/annotations/example.com~1theirs") == "yes", "{now}");
    ensure!(now["metadata"]["finalizers"] == json!(["example.com/hold"]), "{now}");
    // Deleted, it is held by the finalizer: that is said, and nothing can be done.
    site.cluster.delete_secret(&site.namespace, SECRET).await?;
    site.house.says("reports", "refused", &["deleted", "finalizer"]).await?;
    site.cluster.patch_secret(&site.namespace, SECRET, json!({ "metadata": { "finalizers": null } })).await?;
    site.house.stands("reports", "delivered").await?;
    site.close().await
}

async fn a_paused_delivery_is_left_alone(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    // The same values in a second Secret: where they have arrived there, the first was looked at, too.
    let both =
        format!("{}{}", declared(&site.namespace), delivery("second", "reports", &site.namespace, "second"));
    site.house.declare(&both).await?;
    site.deliver("PASSWORD", "one").await?;
    site.house.dana.pause_delivery("reports", "1h", "trying something").await?;
    site.house.stands("reports", "paused").await?;
    site.cluster.patch_secret(&site.namespace, SECRET, json!({ "data": { "EDITED": "eA==" } })).await?;
    let edited = site.there().await?;
    for value in ["two", "three"] {
        site.house.set("PASSWORD", value).await?;
        site.secret_holds("second", "PASSWORD", value).await?;
    }
    super::untouched(&edited, &site.there().await?)?;
    site.house.dana.resume_delivery("reports").await?;
    let now = site.holds("PASSWORD", "three").await?;
    ensure!(keys(&now) == ["PASSWORD"], "{now}");
    site.house.stands("reports", "delivered").await?;
    let paused = site.house.entries("delivery.paused").await?;
    ensure!(paused.len() == 1 && paused[0].reason.as_deref() == Some("trying something"));
    site.close().await
}

async fn a_pause_ends_by_itself(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    site.deliver("PASSWORD", "one").await?;
    site.house.dana.pause_delivery("reports", "1s", "a moment").await?;
    site.house.set("PASSWORD", "two").await?;
    site.holds("PASSWORD", "two").await?;
    site.house.stands("reports", "delivered").await?;
    site.close().await
}

async fn a_delivery_that_moves_leaves_nothing(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let before = site.deliver("PASSWORD", "one").await?;
    site.house.declare(&declared(&site.namespace).replace(SECRET, "reports-new")).await?;
    let now = site.secret_holds("reports-new", "PASSWORD", "one").await?;
    ensure!(version(&now) != version(&before));
    let gone = async || site.now().await.ok()?.is_none().then_some(());
    wait_for("the former Secret is gone", BOUND, gone).await?;
    // Nothing is declared any more: nothing of ours is there.
    let text = declared(&site.namespace);
    let without = text.split("---\nkind: Delivery").next().context("a delivery")?;
    site.house.declare(without).await?;
    let gone =
        async || site.cluster.secret(&site.namespace, "reports-new").await.ok()?.is_none().then_some(());
    wait_for("the last Secret is gone", BOUND, gone).await?;
    site.close().await
}
