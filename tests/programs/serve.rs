//! `port-control serve` and `migrate`

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use data_encoding::BASE64;

use crate::{
    peers::http,
    support::program::{Server, free_port, port_control, write_private},
};

/// A configuration with the embedded engine, and a provider that nobody asks.
pub fn config(database: &str, master_key: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\npublic_url = \"http://127.0.0.1:1\"\n{}",
        config_without_address(database, master_key)
    )
}

fn config_without_address(database: &str, master_key: &str) -> String {
    format!(
        "administrators = [\"dev/it\"]\ncontact = \"ada@example.com\"\n\
         [database]\nurl = \"{database}\"\n[keys]\nmaster_key_file = \"{master_key}\"\n\
         [engine]\nkind = \"embedded\"\n[log]\norigin = \"port-control.invalid/test\"\n\
         [[providers]]\nname = \"dev\"\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"port-control\"\n"
    )
}

fn in_folder(folder: &Path, key: u8) -> Result<String> {
    write_private(&folder.join("master-key"), BASE64.encode(&[key; 32]).as_bytes())?;
    Ok(config_without_address(&format!("sqlite:{}/port-control.db", folder.display()), "master-key"))
}

/// It ends at once where nothing goes on, and what it recorded is there when it starts again.
pub async fn sigterm_loses_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = in_folder(folder.path(), 7)?;
    let mut server = Server::start(folder.path(), free_port()?, &config).await?;
    let metrics = http(None)?.get(format!("{}/metrics", server.url)).send().await?;
    ensure!(metrics.status().is_success(), "/metrics answers");
    let file = folder.path().join("port-control.toml").display().to_string();
    let made = port_control(&["recover-access", "--config", &file, "--reason", "a test"])?;
    ensure!(made.status.success(), "beside a running server: {}", String::from_utf8_lossy(&made.stderr));
    let status = server.stop()?;
    ensure!(status.success(), "it ended with {status}: {}", server.said());

    let token = String::from_utf8(made.stdout)?;
    let token = token.split_whitespace().find(|word| word.starts_with("pcr_")).unwrap_or_default().to_owned();
    let again = Server::start(folder.path(), free_port()?, &config).await?;
    let answer = http(None)?
        .post(format!("{}/api/v1/recovery", again.url))
        .json(&serde_json::json!({ "token": token }))
        .send()
        .await?;
    ensure!(answer.status().is_success(), "the right is there after a restart: {}", answer.text().await?);
    Ok(())
}

pub async fn a_database_that_is_not_migrated_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    in_folder(folder.path(), 7)?;
    let file = folder.path().join("port-control.toml");
    fs::write(&file, config(&format!("sqlite:{}/port-control.db", folder.path().display()), "master-key"))?;
    let output = port_control(&["serve", "--config", &file.display().to_string()])?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && told.contains("port-control migrate"), "{told}");
    Ok(())
}

/// Values that another key sealed could not be opened: better not to start.
pub async fn another_master_key_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path(), free_port()?, &in_folder(folder.path(), 7)?).await?;
    server.stop()?;
    in_folder(folder.path(), 8)?;
    let file = folder.path().join("port-control.toml").display().to_string();
    let output = port_control(&["serve", "--config", &file])?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && told.contains("master key"), "{told}");
    Ok(())
}
