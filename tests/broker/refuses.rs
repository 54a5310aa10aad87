//! What stands in a delivery's way is said, with the remedy, and delivering goes on once it is gone.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::client::SecretChange;
use reqwest::Method;
use serde_json::json;

use super::{SECRET, Site, annotation, cluster, declared, keys, settings, uid, untouched, with_cluster};
use crate::{
    peers::{Peers, secret_rules, unique, wait_for},
    support::{
        Given,
        house::{BOUND, House},
    },
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        with_cluster(peers, "a_foreign_secret_is_left_alone", a_foreign_secret_is_left_alone),
        with_cluster(peers, "a_secret_that_grows_too_large_stays_as_it_was", too_large),
        with_cluster(peers, "an_immutable_secret_of_ours_is_made_anew", immutable),
        with_cluster(peers, "a_namespace_that_is_missing_is_named", missing_namespace),
        with_cluster(peers, "a_namespace_that_is_being_deleted_is_named", terminating_namespace),
        with_cluster(peers, "missing_rights_are_named_with_the_role", missing_rights),
        with_cluster(peers, "a_quota_is_named", a_quota_is_named),
        with_cluster(peers, "a_cluster_that_is_not_configured_is_named", not_configured),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn a_foreign_secret_is_left_alone(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    site.cluster.put_secret(&site.namespace, SECRET, &[("THEIRS", "x")]).await?;
    let before = site.there().await?;
    for value in ["one", "two"] {
        site.house.set("PASSWORD", value).await?;
        let place = format!("main/{}/{SECRET}", site.namespace);
        site.house.says("reports", "foreign", &[&place, "did not make", "rename"]).await?;
    }
    untouched(&before, &site.there().await?)?;
    // Its owner takes it away: then there is room for ours.
    site.cluster.delete_secret(&site.namespace, SECRET).await?;
    let now = site.holds("PASSWORD", "two").await?;
    ensure!(keys(&now) == ["PASSWORD"], "{now}");
    site.house.stands("reports", "delivered").await?;
    site.close().await
}

async fn too_large(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let before = site.deliver("PASSWORD", "one").await?;
    let large = "x".repeat(400 * 1024);
    for name in ["A", "B"] {
        site.house.set(name, &large).await?;
        site.holds(name, &large).await?;
    }
    site.house.stands("reports", "delivered").await?;
    let largest = site.there().await?;
    site.house.set("C", &large).await?;
    site.house.says("reports", "refused", &["reports/sandbox", "1228", "1 MiB", "stays"]).await?;
    untouched(&largest, &site.there().await?)?;
    let at = "reports/sandbox/A".parse().map_err(anyhow::Error::msg)?;
    site.house.dana.change_secret(&at, SecretChange::Delete, None).await?;
    let now = site.holds("C", &large).await?;
    ensure!(uid(&now) == uid(&before) && keys(&now) == ["B", "C", "PASSWORD"]);
    site.house.stands("reports", "delivered").await?;
    site.close().await
}

async fn immutable(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let before = site.deliver("PASSWORD", "one").await?;
    site.cluster.patch_secret(&site.namespace, SECRET, json!({ "immutable": true })).await?;
    let now = site.deliver("PASSWORD", "two").await?;
    ensure!(uid(&now) != uid(&before) && now["immutable"].is_null(), "{now}");
    ensure!(annotation(&now, "generation") == "2", "{now}");
    site.close().await
}

/// The server may do everything in the cluster, so that only the namespace is missing.
async fn missing_namespace(given: Given) -> Result<()> {
    let cluster = cluster(&given)?;
    cluster.write_kubeconfig(&given.folder.path().join("kubeconfig"), &cluster.admin_token)?;
    let house = House::open(&settings(&given)).await?;
    let namespace = unique("late");
    house.declare(&declared(&namespace)).await?;
    house.set("PASSWORD", "one").await?;
    house.says("reports", "refused", &["main", "no namespace", &namespace, "make it"]).await?;
    cluster.create_namespace_named(&namespace).await?;
    super::holds(&cluster, &namespace, SECRET, "PASSWORD", "one").await?;
    house.stands("reports", "delivered").await?;
    house.close().await
}

async fn terminating_namespace(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    // Nothing removes it in this cluster: it is being deleted for ever.
    site.cluster.call(Method::DELETE, &format!("api/v1/namespaces/{}", site.namespace), None).await?;
    site.house.set("PASSWORD", "one").await?;
    site.house.says("reports", "refused", &[&site.namespace, "is being deleted"]).await?;
    ensure!(site.now().await?.is_none());
    site.close().await
}

async fn missing_rights(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let before = site.deliver("PASSWORD", "one").await?;
    site.cluster.unbind_role(&site.namespace, "port-control").await?;
    // The authorizer hears of it a little later; until then, it delivers.
    let mut number = 1;
    loop {
        number += 1;
        site.house.set("PASSWORD", &format!("{number}")).await?;
        let look = async || {
            let it = site.house.delivery("reports").await.ok()?;
            (it.state == "forbidden" || it.generation == Some(number)).then_some(it)
        };
        let it = wait_for("delivered or forbidden", BOUND, look).await?;
        if it.state == "forbidden" {
            break;
        }
    }
    let rule = "resources: [secrets], verbs: [get, list, watch, create, update, delete]";
    site.house
        .says("reports", "forbidden", &["no right to get Secrets", &site.namespace, "Role", rule])
        .await?;
    // A Role that may read and not write.
    let reader = json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"] }]);
    let home = home_of(&site)?;
    site.cluster.create_role(&site.namespace, "reader", reader).await?;
    site.cluster.bind_role(&site.namespace, "reader", (&home, "port-control")).await?;
    site.house.says("reports", "forbidden", &["no right to update Secrets", &site.namespace]).await?;
    site.cluster.create_role(&site.namespace, "writer", secret_rules()).await?;
    site.cluster.bind_role(&site.namespace, "writer", (&home, "port-control")).await?;
    let now = site.holds("PASSWORD", &format!("{number}")).await?;
    ensure!(uid(&now) == uid(&before));
    site.house.stands("reports", "delivered").await?;
    site.close().await
}

/// The namespace of the ServiceAccount that the server is: in its token, which is a JWT.
fn home_of(site: &Site) -> Result<String> {
    let file = std::fs::read_to_string(site.given.folder.path().join("kubeconfig"))?;
    let config: serde_json::Value = serde_json::from_str(&file)?;
    let token = config["users"][0]["user"]["token"].as_str().unwrap_or_default();
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes())?;
    let claims: serde_json::Value = serde_json::from_slice(&claims)?;
    Ok(claims["kubernetes.io"]["namespace"].as_str().unwrap_or_default().to_owned())
}

async fn a_quota_is_named(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let quotas = format!("api/v1/namespaces/{}/resourcequotas", site.namespace);
    let body = json!({ "metadata": { "name": "none" }, "spec": { "hard": { "secrets": "0" } } });
    site.cluster.call(Method::POST, &quotas, Some(body.clone())).await?;
    // No controller counts here: say by hand what one would.
    let status = json!({ "metadata": { "name": "none" }, "spec": body["spec"],
                         "status": { "hard": { "secrets": "0" }, "used": { "secrets": "0" } } });
    site.cluster.call(Method::PUT, &format!("{quotas}/none/status"), Some(status)).await?;
    site.house.set("PASSWORD", "one").await?;
    site.house.says("reports", "refused", &["quota", &site.namespace]).await?;
    site.cluster.call(Method::DELETE, &format!("{quotas}/none"), None).await?;
    site.holds("PASSWORD", "one").await?;
    site.close().await
}

async fn not_configured(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let elsewhere = declared(&site.namespace)
        .replace("kind: Cluster\nname: main", "kind: Cluster\nname: elsewhere")
        .replace("cluster: main", "cluster: elsewhere");
    site.house.declare(&elsewhere).await?;
    site.house.set("PASSWORD", "one").await?;
    site.house.says("reports", "unreachable", &["[clusters.elsewhere]"]).await?;
    site.close().await
}
