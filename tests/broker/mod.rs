//! Deliveries into a real cluster, and everything that can come between.

mod abuse;
mod checks;
mod follows;
mod front;
mod outages;
mod readers;
mod refuses;
mod replicas;
mod wire;

use std::{future::Future, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::base::config::Access;
use serde_json::Value;

use crate::{
    peers::{Kubernetes, Peers, wait_for},
    support::{
        Given,
        house::{BOUND, GROUND, House, Settings},
        on_sqlite,
    },
};

/// The Kubernetes Secret that most tests deliver into.
const SECRET: &str = "reports-env";

/// All of them; those that need a cluster only where it is.
pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut all = checks::trials(peers);
    if peers.kubernetes.is_some() {
        all.extend(
            [
                abuse::trials(peers),
                follows::trials(peers),
                outages::trials(peers),
                readers::trials(peers),
                refuses::trials(peers),
                replicas::trials(peers),
            ]
            .into_iter()
            .flatten(),
        );
    }
    all
}

/// A test with a database of its own and the shared cluster.
fn with_cluster<Test, Running>(peers: &Arc<Peers>, name: &str, test: Test) -> Vec<Trial>
where
    Test: Fn(Given) -> Running + Copy + Send + 'static,
    Running: Future<Output = Result<()>> + 'static,
{
    on_sqlite(peers, &format!("broker::{name}"), test)
}

/// A namespace of the test's own, and a server that delivers into it.
struct Site {
    given: Given,
    /// The cluster as its administrator reaches it.
    cluster: Kubernetes,
    namespace: String,
    house: House,
}

impl Site {
    /// With `reports/sandbox` delivered into [`SECRET`], nothing set yet.
    async fn open(given: Given) -> Result<Self> {
        let cluster = cluster(&given)?;
        Self::through(given, &cluster.clone()).await
    }

    /// The same where the server reaches the cluster as `seen`.
    async fn through(given: Given, seen: &Kubernetes) -> Result<Self> {
        let namespace = cluster(&given)?.create_namespace("supa").await?;
        seen.write_limited_kubeconfig(&given.folder.path().join("kubeconfig"), &[&namespace]).await?;
        let house = House::open(&settings(&given)).await?;
        house.declare(&declared(&namespace)).await?;
        Ok(Self { cluster: cluster(&given)?, given, namespace, house })
    }

    /// The Secret as it is now.
    async fn now(&self) -> Result<Option<Value>> {
        self.cluster.secret(&self.namespace, SECRET).await
    }

    async fn there(&self) -> Result<Value> {
        self.now().await?.context("the Secret is not there")
    }

    /// Waits until a key of the Secret has a value.
    async fn holds(&self, key: &str, value: &str) -> Result<Value> {
        self.secret_holds(SECRET, key, value).await
    }

    async fn secret_holds(&self, secret: &str, key: &str, value: &str) -> Result<Value> {
        holds(&self.cluster, &self.namespace, secret, key, value).await
    }

    /// Sets a secret and waits until it is delivered.
    async fn deliver(&self, key: &str, value: &str) -> Result<Value> {
        self.house.set(key, value).await?;
        self.holds(key, value).await?;
        self.house.stands("reports", "delivered").await?;
        self.there().await
    }

    async fn close(self) -> Result<()> {
        self.house.close().await
    }
}

fn cluster(given: &Given) -> Result<Kubernetes> {
    given.peers.kubernetes.clone().context("Kubernetes was not started")
}

fn settings(given: &Given) -> Settings {
    let path = given.folder.path().join("kubeconfig");
    Settings::new(&given.url, given.folder.path(), Access::Kubeconfig { path, context: None })
}

/// One allowed namespace and one delivery into it.
fn declared(namespace: &str) -> String {
    format!("{}{}", allowed(&[(namespace, "supa-team")]), delivery("reports", "reports", namespace, SECRET))
}

/// The ground, and which namespaces the cluster allows to which team.
fn allowed(namespaces: &[(&str, &str)]) -> String {
    let each = namespaces.iter().map(|(name, team)| format!("  - {{name: {name}, teams: [{team}]}}\n"));
    format!("{GROUND}---\nkind: Cluster\nname: main\nnamespaces:\n{}", each.collect::<String>())
}

fn delivery(name: &str, application: &str, namespace: &str, secret: &str) -> String {
    format!(
        "---\nkind: Delivery\nname: {name}\napplication: {application}\nenvironment: sandbox\n\
         cluster: main\nnamespace: {namespace}\nsecret: {secret}\n"
    )
}

async fn holds(cluster: &Kubernetes, namespace: &str, secret: &str, key: &str, value: &str) -> Result<Value> {
    let what = format!("{namespace}/{secret} holds {key}");
    let look = async || {
        let there = cluster.secret_value(namespace, secret, key).await.ok()??;
        if there != value.as_bytes() {
            return None;
        }
        cluster.secret(namespace, secret).await.ok()?
    };
    wait_for(&what, BOUND, look).await
}

/// The keys of a Secret.
fn keys(secret: &Value) -> Vec<&str> {
    secret["data"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn text<'v>(secret: &'v Value, path: &str) -> &'v str {
    secret.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn uid(secret: &Value) -> &str {
    text(secret, "/metadata/uid")
}

fn version(secret: &Value) -> &str {
    text(secret, "/metadata/resourceVersion")
}

fn annotation<'v>(secret: &'v Value, name: &str) -> &'v str {
    text(secret, &format!("/metadata/annotations/portcontrol.dev~1{name}"))
}

/// Not one byte of it was touched since.
fn untouched(before: &Value, now: &Value) -> Result<()> {
    ensure!(before == now, "it was touched: {before} became {now}");
    Ok(())
}
