//! From a new version over HTTP to the real Kubernetes Secret, beside a bare PUT of such a Secret:
//! `tests/run --peers-only -- cargo bench --bench delivery`.

#[path = "support/mod.rs"]
mod measure;
#[path = "../tests/peers/mod.rs"]
mod peers;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64;
use measure::Times;
use peers::{Kubernetes, Peers};
use port_control::{
    base::{config::Access, time::Stopwatch},
    store::DatabaseKind,
};
use reqwest::Method;
use serde_json::{Value, json};
use support::house::{GROUND, House, Settings};

const ROUNDS: usize = 250;
const WARM: usize = 20;
const SECRET: &str = "reports-env";
const BARE: &str = "bare-env";

/// Hears every Secret of a namespace as the API server tells of it.
struct Watch {
    response: reqwest::Response,
    rest: Vec<u8>,
}

impl Watch {
    async fn open(cluster: &Kubernetes, namespace: &str) -> Result<Self> {
        let listed =
            cluster.call(Method::GET, &format!("api/v1/namespaces/{namespace}/secrets"), None).await?;
        let from = listed["metadata"]["resourceVersion"].as_str().context("a version")?;
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(cluster.authority.as_bytes())?])
            .no_proxy()
            .build()?;
        let url = format!(
            "{}/api/v1/namespaces/{namespace}/secrets?watch=true&timeoutSeconds=600&resourceVersion={from}",
            cluster.url
        );
        let response = client.get(url).bearer_auth(&cluster.admin_token).send().await?.error_for_status()?;
        Ok(Self { response, rest: Vec::new() })
    }

    /// Waits until a Secret has this value.
    async fn holds(&mut self, secret: &str, value: &str) -> Result<()> {
        let encoded = BASE64.encode(value.as_bytes());
        loop {
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line)?;
                let it = &event["object"];
                if it["metadata"]["name"] == secret && it["data"]["PASSWORD"] == encoded.as_str() {
                    return Ok(());
                }
            }
            let waited = tokio::time::timeout(Duration::from_secs(30), self.response.chunk()).await;
            let Some(chunk) = waited.context("no event in 30 s")?? else { bail!("the watch ended") };
            self.rest.extend_from_slice(&chunk);
        }
    }
}

/// A Secret like ours that nobody keeps, with its clients.
struct Plain {
    client: reqwest::Client,
    cluster: Kubernetes,
    namespace: String,
    body: Value,
}

impl Plain {
    async fn new(cluster: &Kubernetes, namespace: &str, like: &Value) -> Result<Self> {
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(cluster.authority.as_bytes())?])
            .no_proxy()
            .build()?;
        let body = json!({
            "metadata": { "name": BARE, "annotations": like["metadata"]["annotations"] },
            "data": like["data"],
        });
        let path = format!("api/v1/namespaces/{namespace}/secrets");
        let made = cluster.call(Method::POST, &path, Some(body)).await?;
        Ok(Self { client, cluster: cluster.clone(), namespace: namespace.to_owned(), body: made })
    }

    /// Puts a value, bound to what was there.
    async fn put(&mut self, value: &str) -> Result<()> {
        self.body["data"]["PASSWORD"] = BASE64.encode(value.as_bytes()).into();
        let url = format!("{}/api/v1/namespaces/{}/secrets/{BARE}", self.cluster.url, self.namespace);
        let request = self.client.put(url).bearer_auth(&self.cluster.admin_token).json(&self.body);
        self.body = request.send().await?.error_for_status()?.json().await?;
        Ok(())
    }
}

#[derive(Default)]
struct Measured {
    bare: Times,
    answered: Times,
    delivered: Times,
}

async fn measure(cluster: &Kubernetes, database: &str, folder: &std::path::Path) -> Result<Measured> {
    let namespace = cluster.create_namespace("bench").await?;
    let path = folder.join("kubeconfig");
    cluster.write_limited_kubeconfig(&path, &[&namespace]).await?;
    let house =
        House::open(&Settings::new(database, folder, Access::Kubeconfig { path, context: None })).await?;
    let cluster_and_delivery = format!(
        "---\nkind: Cluster\nname: main\nnamespaces: [{{name: {namespace}, teams: [supa-team]}}]\n---\n\
         kind: Delivery\nname: reports\napplication: reports\nenvironment: sandbox\ncluster: main\n\
         namespace: {namespace}\nsecret: {SECRET}\n"
    );
    house.declare(&format!("{GROUND}{cluster_and_delivery}")).await?;
    let mut watch = Watch::open(cluster, &namespace).await?;
    house.set("PASSWORD", "first").await?;
    watch.holds(SECRET, "first").await?;
    let like = cluster.secret(&namespace, SECRET).await?.context("the Secret")?;
    let mut plain = Plain::new(cluster, &namespace, &like).await?;
    let mut measured = Measured::default();
    for round in 0..ROUNDS + WARM {
        let value = format!("value-{round}");
        let since = Stopwatch::start();
        plain.put(&value).await?;
        watch.holds(BARE, &value).await?;
        let bare = since.elapsed();
        // What went before has come to rest: the delivery stands.
        house.stands("reports", "delivered").await?;
        let since = Stopwatch::start();
        house.set("PASSWORD", &value).await?;
        let answered = since.elapsed();
        watch.holds(SECRET, &value).await?;
        let delivered = since.elapsed();
        if round >= WARM {
            measured.bare.push(bare);
            measured.answered.push(answered);
            measured.delivered.push(delivered);
        }
    }
    house.close().await?;
    Ok(measured)
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn print(database: DatabaseKind, measured: &Measured) {
    let bare = measured.bare.p50();
    println!("{database:?}, {} alternating rounds, {}", measured.delivered.count(), measure::machine());
    println!("{:<52} {:>10} {:>10} {:>8}", "", "p50", "p99", "ratio");
    for (what, times) in [
        ("a bare PUT of such a Secret, until it is watched", &measured.bare),
        ("a secret set over HTTP, until it is answered", &measured.answered),
        ("a secret set over HTTP, until its Secret is watched", &measured.delivered),
    ] {
        let (p50, p99) = (times.p50(), times.p99());
        println!("{what:<52} {p50:>7.2} ms {p99:>7.2} ms {:>8.2}", p50 / bare);
    }
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let peers = Peers::from_env();
        let cluster =
            peers.kubernetes.context("Kubernetes was not started: see the first line of this file")?;
        let folder = measure::folder()?;
        let file = format!("sqlite:{}", folder.path().join("port-control.db").display());
        print(DatabaseKind::Sqlite, &measure(&cluster, &file, folder.path()).await?);
        if let Some(postgres) = &peers.postgres {
            let (database, folder) = (postgres.create_database("bench").await?, measure::folder()?);
            print(DatabaseKind::Postgres, &measure(&cluster, &database.url, folder.path()).await?);
        }
        Ok(())
    })
}
