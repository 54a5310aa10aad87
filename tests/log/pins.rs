//! The pin where replicas share it: in a ConfigMap and in a bucket, by real servers.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use libtest_mimic::Trial;
use port_control::{
    audit::{
        Checkpoint, Signer, VerifierKey,
        archive::Archive,
        pin::{Pin, PinObject},
    },
    base::{ProblemKind, config::Access},
    broker::PinConfigMap,
    keys::LogSigner,
};
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::site::Site;
use crate::{
    peers::{Peers, archive_in},
    support::{Given, on_sqlite, until},
};

const ORIGIN: &str = "example.com/log";

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials = Vec::new();
    if peers.kubernetes.is_some() {
        trials.extend(on_sqlite(peers, "log::abuse_37_a_pin_in_a_config_map_is_held", in_a_config_map));
    }
    if peers.s3.is_some() {
        trials.extend(on_sqlite(peers, "log::abuse_37_a_pin_in_a_bucket_is_held", in_a_bucket));
    }
    trials
}

fn key() -> LogSigner {
    LogSigner::from_seed(&[1; 32])
}

fn verifier() -> Result<[VerifierKey; 1]> {
    Ok([VerifierKey::new(ORIGIN, key().public_key()).map_err(anyhow::Error::msg)?])
}

fn signer(site: &Site, pin: &Pin) -> Result<Signer> {
    let signer = Signer::new(site.database.clone(), site.ambient.clone(), key(), ORIGIN)?;
    Ok(signer.pinned(Some(pin.clone())))
}

fn at(size: u64) -> (Checkpoint, String) {
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: [9; 32] };
    let note = checkpoint.sign(&key());
    (checkpoint, note)
}

/// It follows the log, holds the newest at the end, and a log that lacks what it holds is refused.
async fn is_held(site: &Site, pin: &Pin) -> Result<()> {
    let keys = verifier()?;
    pin.check().await?;
    ensure!(pin.read(&keys).await?.is_none(), "nothing is pinned yet");
    let (stop, signer_of) = (CancellationToken::new(), signer(site, pin)?);
    let (log, told) = (site.log.clone(), stop.clone());
    let running = tokio::spawn(async move { signer_of.run(&log, told).await });
    site.note("one").await?;
    let pinned = async || anyhow::Ok(pin.read(&keys).await?.map_or(0, |it| it.size));
    until("it is pinned", async || Ok((pinned().await? == 1).then_some(()))).await?;
    for n in 0..20 {
        site.note(&format!("n{n}")).await?;
    }
    let size = site.log.head().size;
    until("all of it is signed", async || {
        let note = port_control::audit::checkpoint::newest(&site.database).await?.unwrap_or_default();
        Ok((Checkpoint::open_any(&note, &keys)?.size == size).then_some(()))
    })
    .await?;
    stop.cancel();
    running.await??;
    ensure!(pinned().await? == size, "the last one is waited for: {}", pinned().await?);
    signer(site, pin)?.check_pin().await?;
    let (lost, note) = at(size + 4);
    pin.write(&lost, &note, &keys).await?;
    let refused = signer(site, pin)?.check_pin().await.err().context("four entries are gone")?;
    ensure!(refused.is(ProblemKind::LogIncomplete), "{refused}");
    let remedy = refused.remedy.unwrap_or_default();
    ensure!(remedy.contains(&pin.name()), "it says which pin: {remedy}");
    let aside = pin.set_aside().await?.context("it was there")?;
    ensure!(aside.contains("before-1"), "{aside}");
    signer(site, pin)?.check_pin().await?;
    Ok(())
}

/// With no more rights than `deploy/kubernetes.yaml` gives.
async fn in_a_config_map(given: Given) -> Result<()> {
    let kubernetes = given.peers.kubernetes.clone().context("no Kubernetes")?;
    let namespace = kubernetes.create_namespace("pin").await?;
    kubernetes.create_service_account(&namespace, "port-control").await?;
    let rules = json!([
        { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"] },
        {
            "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["log-pin"],
            "verbs": ["get", "update", "delete"],
        },
    ]);
    kubernetes.create_role(&namespace, "log-pin", rules).await?;
    kubernetes.bind_role(&namespace, "log-pin", (&namespace, "port-control")).await?;
    let token = kubernetes.service_account_token(&namespace, "port-control", 3600).await?;
    let path = format!("api/v1/namespaces/{namespace}/configmaps/log-pin");
    until("the Role has its effect", async || {
        let answer = kubernetes.request(Method::GET, &path, &token).send().await?;
        Ok((answer.status() == 404).then_some(()))
    })
    .await?;
    let kubeconfig = given.folder.path().join("kubeconfig");
    kubernetes.write_kubeconfig(&kubeconfig, &token)?;
    let pin = || -> Result<Pin> {
        let access = Access::Kubeconfig { path: kubeconfig.clone(), context: None };
        let name = |text: &str| text.parse().map_err(anyhow::Error::msg);
        Ok(Pin::new(PinConfigMap::new(access, name(&namespace)?, name("log-pin")?)))
    };
    let site = Site::open(given.open().await?).await?;
    is_held(&site, &pin()?).await?;
    // Replicas that write at once leave the newest.
    let (replicas, keys) = ([pin()?, pin()?, pin()?], verifier()?);
    let sizes: Vec<u64> = (100..130).map(|n| n * 7 % 30 + 100).collect();
    for sizes in sizes.chunks(3) {
        let writing = replicas.iter().zip(sizes).map(|(pin, size)| {
            let keys = &keys;
            async move {
                let (checkpoint, note) = at(*size);
                pin.write(&checkpoint, &note, keys).await
            }
        });
        for outcome in join_all(writing).await {
            outcome?;
        }
    }
    ensure!(replicas[0].read(&keys).await?.is_some_and(|it| it.size == 129), "the newest is pinned");
    Ok(())
}

async fn in_a_bucket(given: Given) -> Result<()> {
    crate::peers::http(None)?;
    let place = given.peers.s3.as_ref().context("no S3")?.place()?;
    let pin = Pin::new(PinObject::new(Archive::open(&archive_in(&place))?));
    let site = Site::open(given.open().await?).await?;
    is_held(&site, &pin).await
}
