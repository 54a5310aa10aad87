//! Abuse case 34: a delivery of one team reads or writes another's namespace, or takes over a Secret that
//! we did not make.

use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use port_control::base::ProblemKind;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    SECRET, Site, allowed, cluster, declared, delivery, front::Front, holds, keys, settings, uid, untouched,
    with_cluster,
};
use crate::{
    peers::{Kubernetes, Peers},
    support::{Given, house::House},
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        with_cluster(peers, "abuse_34_a_namespace_of_another_team_is_refused", a_namespace_of_another_team),
        with_cluster(peers, "abuse_34_only_allowed_namespaces_are_ever_asked_for", only_allowed_namespaces),
        with_cluster(peers, "abuse_34_copied_marks_make_nothing_ours", copied_marks),
        with_cluster(peers, "abuse_34_a_delivery_does_not_adopt_anothers_secret", anothers_secret),
        with_cluster(peers, "abuse_34_one_team_gets_no_value_of_another", no_value_of_another),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn a_namespace_of_another_team(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let theirs = site.cluster.create_namespace("other").await?;
    let world = allowed(&[(&site.namespace, "supa-team"), (&theirs, "other-team")]);
    for stray in [
        delivery("reports", "reports", &theirs, SECRET),
        delivery("reports", "reports", "kube-system", SECRET),
        delivery("billing", "billing", &site.namespace, SECRET),
        delivery("reports", "reports", &format!("../{theirs}"), SECRET),
        delivery("reports", "reports", &site.namespace, &format!("../../{theirs}/secrets/x")),
    ] {
        let refused = site.house.declare(&format!("{world}{stray}")).await;
        let problem = refused.err().ok_or_else(|| anyhow::anyhow!("it was taken: {stray}"))?;
        ensure!(problem.is(ProblemKind::InvalidDeclaration), "{problem:?}");
    }
    // Where several teams share a namespace, each keeps to its own names.
    let shared = allowed(&[]).replace("namespaces:\n", "")
        + &format!(
            "namespaces:\n  - {{name: {0}, teams: [supa-team], secret-names: [reports-*]}}\n  \
             - {{name: {0}, teams: [other-team], secret-names: [billing-*]}}\n",
            site.namespace
        );
    let stray = delivery("billing", "billing", &site.namespace, "reports-env");
    ensure!(site.house.declare(&format!("{shared}{stray}")).await.is_err());
    site.close().await
}

/// Whatever is declared and undeclared, no other namespace is read, listed, watched or written.
async fn only_allowed_namespaces(given: Given) -> Result<()> {
    let front = Front::open(&cluster(&given)?).await?;
    let elsewhere = front.cluster.create_namespace("elsewhere").await?;
    let bait = json!({ "metadata": { "name": SECRET, "labels": { "app.kubernetes.io/managed-by": "port-control" } } });
    let path = format!("api/v1/namespaces/{elsewhere}/secrets");
    cluster(&given)?.call(Method::POST, &path, Some(bait)).await?;
    let before = cluster(&given)?.secret(&elsewhere, SECRET).await?;
    let from = front.heard().len();
    let site = {
        // The set-up goes past the server, which may do everything: nothing but itself holds it back.
        let (upstream, namespace) = (cluster(&given)?, cluster(&given)?.create_namespace("supa").await?);
        let file = given.folder.path().join("kubeconfig");
        front.cluster.write_kubeconfig(&file, &upstream.admin_token)?;
        let house = House::open(&settings(&given)).await?;
        house.declare(&declared(&namespace)).await?;
        Site { given, cluster: upstream, namespace, house }
    };
    site.deliver("PASSWORD", "one").await?;
    site.cluster.delete_secret(&site.namespace, SECRET).await?;
    site.holds("PASSWORD", "one").await?;
    let own = format!("/api/v1/namespaces/{}/secrets", site.namespace);
    for asked in &front.heard()[from..] {
        let path = asked.split(' ').nth(1).unwrap_or_default();
        ensure!(path.starts_with(&own), "it asked for {asked}");
    }
    ensure!(cluster(&site.given)?.secret(&elsewhere, SECRET).await? == before, "it was touched");
    site.close().await
}

/// A copy of one of our Secrets, marks and all, under another name.
async fn copy(cluster: &Kubernetes, of: &Value, namespace: &str, name: &str) -> Result<Value> {
    let body = json!({
        "metadata": { "name": name, "labels": of["metadata"]["labels"], "annotations": of["metadata"]["annotations"] },
        "data": { "THEIRS": "eA==" },
    });
    cluster.call(Method::POST, &format!("api/v1/namespaces/{namespace}/secrets"), Some(body)).await
}

async fn copied_marks(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let ours = site.deliver("PASSWORD", "one").await?;
    // Under another name, and under the same name in another namespace that is allowed, too.
    let second = site.cluster.create_namespace("second").await?;
    let file = site.given.folder.path().join("kubeconfig");
    let named = copy(&site.cluster, &ours, &site.namespace, "copied").await?;
    let moved = copy(&site.cluster, &ours, &second, SECRET).await?;
    let (given, cluster, namespace) = (site.given, site.cluster, site.namespace);
    site.house.close().await?;
    cluster.write_limited_kubeconfig(&file, &[&second]).await?;
    cluster.write_kubeconfig(&file, &cluster.admin_token)?;
    let house = House::open(&settings(&given)).await?;
    let site = Site { given, cluster, namespace, house };
    let world = allowed(&[(&site.namespace, "supa-team"), (&second, "supa-team")]);
    let both = [
        delivery("reports", "reports", &site.namespace, SECRET),
        delivery("copied", "reports", &site.namespace, "copied"),
        delivery("moved", "reports", &second, SECRET),
    ];
    site.house.declare(&format!("{world}{}", both.concat())).await?;
    site.house.set("PASSWORD", "two").await?;
    site.holds("PASSWORD", "two").await?;
    for name in ["copied", "moved"] {
        site.house.says(name, "foreign", &["did not make"]).await?;
    }
    // The delivery that was copied from moves to where the copy lies: it is none the more ours.
    let elsewhere = [
        delivery("reports", "reports", &second, SECRET),
        delivery("copied", "reports", &site.namespace, "copied"),
    ];
    site.house.declare(&format!("{world}{}", elsewhere.concat())).await?;
    site.house.says("reports", "foreign", &[&second]).await?;
    let now = site.cluster.secret(&site.namespace, "copied").await?;
    untouched(&named, &now.unwrap_or_default())?;
    untouched(&moved, &site.cluster.secret(&second, SECRET).await?.unwrap_or_default())?;
    site.close().await
}

/// One delivery takes another's place: the former is removed first, and a new Secret made.
async fn anothers_secret(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let before = site.deliver("PASSWORD", "one").await?;
    let renamed =
        declared(&site.namespace).replace("kind: Delivery\nname: reports", "kind: Delivery\nname: renamed");
    site.house.declare(&renamed).await?;
    site.house.stands("renamed", "delivered").await?;
    let now = site.holds("PASSWORD", "one").await?;
    ensure!(uid(&now) != uid(&before), "it was adopted");
    site.close().await
}

async fn no_value_of_another(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    site.house.set_at("billing/sandbox/THEIRS", "hunter2").await?;
    let ours = site.deliver("PASSWORD", "one").await?;
    ensure!(keys(&ours) == ["PASSWORD"], "{ours}");
    // Declared into the namespace of its own team alone.
    let theirs = site.cluster.create_namespace("other").await?;
    let file = site.given.folder.path().join("kubeconfig");
    let (given, cluster, namespace) = (site.given, site.cluster, site.namespace);
    site.house.close().await?;
    cluster.write_kubeconfig(&file, &cluster.admin_token)?;
    let house = House::open(&settings(&given)).await?;
    let world = allowed(&[(&namespace, "supa-team"), (&theirs, "other-team")]);
    let both = [
        delivery("reports", "reports", &namespace, SECRET),
        delivery("billing", "billing", &theirs, "billing-env"),
    ];
    house.declare(&format!("{world}{}", both.concat())).await?;
    let secret = holds(&cluster, &theirs, "billing-env", "THEIRS", "hunter2").await?;
    ensure!(keys(&secret) == ["THEIRS"], "{secret}");
    let own = cluster.secret(&namespace, SECRET).await?.unwrap_or_default();
    ensure!(keys(&own) == ["PASSWORD"], "{own}");
    house.close().await
}
