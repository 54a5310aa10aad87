//! `port-control check` of a cluster: reached, with which rights, and what is missing by name.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::time::Stopwatch,
    broker::{CheckFinding, CheckLevel},
    server::check,
};
use serde_json::{Value, json};

use super::{Site, cluster, declared, settings, with_cluster};
use crate::{
    peers::{Peers, wait_for},
    support::{
        Given,
        house::{BOUND, House},
        on_sqlite,
        program::write_private,
    },
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut all = vec![
        on_sqlite(peers, "broker::check_names_a_missing_plugin", a_missing_plugin),
        on_sqlite(peers, "broker::check_tells_nothing_that_a_plugin_printed", a_plugin_that_fails),
        on_sqlite(peers, "broker::check_does_not_wait_for_a_plugin_that_hangs", a_plugin_that_hangs),
        on_sqlite(peers, "broker::check_names_a_kubeconfig_that_is_none", no_kubeconfig),
    ];
    if peers.kubernetes.is_some() {
        all.push(with_cluster(peers, "check_says_that_all_is_well", all_is_well));
        all.push(with_cluster(peers, "check_names_missing_rights", missing_rights));
        all.push(with_cluster(peers, "check_warns_of_rights_beyond", rights_beyond));
    }
    all.into_iter().flatten().collect()
}

/// What is said of the cluster, which is declared.
pub(super) async fn found(given: &Given) -> Result<Vec<CheckFinding>> {
    let checked = Box::pin(check(settings(given).config(1)?)).await;
    let cluster = checked.into_iter().find(|it| it.dependency == "cluster main");
    Ok(cluster.context("nothing is said of the cluster")?.findings)
}

/// Something is found at this level that says all of this.
pub(super) fn says(findings: &[CheckFinding], level: CheckLevel, words: &[&str]) -> Result<()> {
    let fits = |it: &&CheckFinding| {
        let text = format!("{} {}", it.message, it.remedy.as_deref().unwrap_or_default());
        it.level == level && words.iter().all(|word| text.contains(word))
    };
    ensure!(findings.iter().any(|it| fits(&it)), "no {level:?} says {words:?}: {findings:?}");
    Ok(())
}

async fn all_is_well(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let findings = found(&site.given).await?;
    ensure!(findings.len() == 1, "{findings:?}");
    says(&findings, CheckLevel::Fine, &["reached", "rights"])?;
    site.close().await
}

async fn missing_rights(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    site.cluster.unbind_role(&site.namespace, "port-control").await?;
    let look = async || found(&site.given).await.ok().filter(|it| it.len() == 6);
    let findings = wait_for("all six rights are missed", BOUND, look).await?;
    for verb in ["get", "list", "watch", "create", "update", "delete"] {
        says(
            &findings,
            CheckLevel::Failure,
            &[&format!("no right to {verb} Secrets"), &site.namespace, "Role"],
        )?;
    }
    site.close().await
}

async fn rights_beyond(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let file = site.given.folder.path().join("kubeconfig");
    site.cluster.write_kubeconfig(&file, &site.cluster.admin_token)?;
    let findings = found(&site.given).await?;
    says(&findings, CheckLevel::Warning, &["get secrets in every namespace", "no ClusterRole"])?;
    ensure!(findings.iter().all(|it| it.level == CheckLevel::Warning), "{findings:?}");
    ensure!(cluster(&site.given).is_ok());
    site.close().await
}

/// A kubeconfig whose credentials come from a program.
fn by_plugin(file: &Path, command: &str, arguments: &[&str]) -> Result<()> {
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": "https://127.0.0.1:9" } }],
        "users": [{ "name": "test", "user": { "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": arguments,
            "interactiveMode": "Never",
        }}}],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    });
    write_private(file, config.to_string().as_bytes())
}

/// A server whose cluster is reached by a plugin: what `check` says, and what its delivery says.
async fn with_plugin(given: Given, command: &str, arguments: &[&str], words: &[&str]) -> Result<String> {
    by_plugin(&given.folder.path().join("kubeconfig"), command, arguments)?;
    let house = House::open(&settings(&given)).await?;
    house.declare(&declared("supa")).await?;
    house.set("PASSWORD", "one").await?;
    house.says("reports", "unreachable", words).await?;
    let findings = found(&given).await?;
    says(&findings, CheckLevel::Failure, words)?;
    let told = format!("{findings:?} {:?}", house.delivery("reports").await?);
    house.close().await?;
    Ok(told)
}

async fn a_missing_plugin(given: Given) -> Result<()> {
    let words = ["credential plugin", "'no-such-plugin'", "not installed"];
    with_plugin(given, "no-such-plugin", &[], &words).await.map(drop)
}

async fn a_plugin_that_fails(given: Given) -> Result<()> {
    let script = "echo hunter2-on-output; echo hunter2-on-error >&2; exit 3";
    let told =
        with_plugin(given, "sh", &["-c", script], &["credential plugin 'sh'", "ended with exit status: 3"])
            .await?;
    ensure!(!told.contains("hunter2"), "what it printed is told: {told}");
    Ok(())
}

async fn a_plugin_that_hangs(given: Given) -> Result<()> {
    let since = Stopwatch::start();
    // It ends with the test, which has long gone on by then.
    with_plugin(given, "sleep", &["20"], &["no credentials within"]).await?;
    ensure!(since.elapsed().as_secs() < 18, "waited for {:?}", since.elapsed());
    Ok(())
}

async fn no_kubeconfig(given: Given) -> Result<()> {
    let file = given.folder.path().join("kubeconfig");
    let house = House::open(&settings(&given)).await?;
    house.declare(&declared("supa")).await?;
    let path = file.display().to_string();
    says(&found(&given).await?, CheckLevel::Failure, &[&path, "cannot be read"])?;
    write_private(&file, b"token: hunter2")?;
    let findings = found(&given).await?;
    says(&findings, CheckLevel::Failure, &[&path])?;
    ensure!(!format!("{findings:?}").contains("hunter2"), "{findings:?}");
    house.close().await
}
