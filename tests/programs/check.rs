//! `port-control check`

use std::{fs, sync::Arc};

use anyhow::{Result, ensure};
use data_encoding::BASE64;

use crate::{
    peers::Peers,
    story::{Combination, House},
    support::program::{port_control, write_private},
};

/// Everything that is down is named, each with what is wrong; the rest is looked at all the same.
pub async fn names_each_that_is_down() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    write_private(&at("master-key"), BASE64.encode(&[7; 32]).as_bytes())?;
    write_private(&at("token"), b"a token")?;
    fs::write(
        at("kubeconfig"),
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n\
         users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, interactiveMode: Never}}}]\n\
         contexts: [{name: c, context: {cluster: c, user: u}}]\n",
    )?;
    let config =
        super::serve::config(&format!("sqlite:{}", at("port-control.db").display()), "master-key").replace(
            "kind = \"embedded\"\n",
            "kind = \"vault\"\n[engine.vault]\naddress = \"http://127.0.0.1:1\"\n\
             auth = { method = \"token\", token_file = \"token\" }\n",
        ) + "[clusters.main]\nkubeconfig = \"kubeconfig\"\n";
    let config = format!("{config}[log.archive]\nto = \"file://{}\"\n", at("not-mounted").display());
    let file = at("port-control.toml");
    fs::write(&file, config)?;
    let file = file.display().to_string();
    ensure!(port_control(&["migrate", "--config", &file])?.status.success(), "migrate");
    let output = port_control(&["check", "--config", &file])?;
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.code() == Some(2), "{told}");
    for what in [
        "database",
        "engine vault",
        "provider dev",
        "cluster main",
        "no-such-plugin",
        "127.0.0.1:1",
        "archive file://",
        "the folder is not there",
    ] {
        ensure!(told.contains(what), "'{what}' is named: {told}");
    }
    Ok(())
}

pub async fn finds_all_well(peers: Arc<Peers>) -> Result<()> {
    let combination = Combination { postgres: false, openbao: true, kubernetes: true };
    let mut house = House::open(peers, combination).await?;
    let output = port_control(&["check", "--config", &house.config.display().to_string()])?;
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{told}");
    for what in ["database", "engine vault", "provider dev", "cluster main"] {
        ensure!(told.contains(what), "'{what}' is named: {told}");
    }
    house.server.stop()?;
    Ok(())
}
