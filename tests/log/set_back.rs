//! A database that is set back: to yesterday's copy before a start, or under a running log.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Result, ensure};
use data_encoding::BASE64;
use libtest_mimic::Trial;
use port_control::{base::ProblemKind, store::sql};

use super::site::Site;
use crate::{
    peers::{Peers, http},
    support::{
        Given, on_each_database,
        program::{Server, free_port, port_control, write_private},
        trial,
    },
};

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    let mut trials =
        on_each_database(peers, "log::abuse_37_a_database_set_back_while_running", while_running);
    trials.push(trial("log::abuse_37_a_database_set_back_is_refused_at_start", at_start));
    trials
}

#[derive(Clone, sqlx::FromRow)]
struct Head {
    size: i64,
    root: Vec<u8>,
    edge: Vec<u8>,
    batch: String,
    time: i64,
}

const DATABASE: &str = "port-control.db";

fn config(folder: &Path) -> Result<String> {
    write_private(&folder.join("master-key"), BASE64.encode(&[7; 32]).as_bytes())?;
    fs::create_dir_all(folder.join("elsewhere"))?;
    Ok(format!(
        "administrators = [\"dev/it\"]\ncontact = \"ada@example.com\"\n\
         [database]\nurl = \"sqlite:{0}/{DATABASE}\"\n[keys]\nmaster_key_file = \"master-key\"\n\
         [engine]\nkind = \"embedded\"\n\
         [log]\norigin = \"port-control.invalid/test\"\npin = \"{0}/elsewhere/log.pin\"\n\
         [[providers]]\nname = \"dev\"\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"port-control\"\n",
        folder.display()
    ))
}

/// Runs a server until something more is signed and pinned, and stops it.
async fn some_life(folder: &Path, config: &str) -> Result<()> {
    let mut server = Server::start(folder, free_port()?, config).await?;
    let file = folder.join("port-control.toml").display().to_string();
    let before = fs::read(folder.join("elsewhere/log.pin")).unwrap_or_default();
    let made = port_control(&["recover-access", "--config", &file, "--reason", "a test"])?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout)?;
    let token = token.split_whitespace().find(|word| word.starts_with("pcr_")).unwrap_or_default().to_owned();
    let used = http(None)?
        .post(format!("{}/api/v1/recovery", server.url))
        .json(&serde_json::json!({ "token": token }))
        .send()
        .await?;
    ensure!(used.status().is_success(), "{}", used.text().await?);
    for _ in 0..400 {
        if fs::read(folder.join("elsewhere/log.pin")).is_ok_and(|pin| pin != before) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let after = fs::read(folder.join("elsewhere/log.pin"))?;
    ensure!(after != before, "nothing more was pinned: {}", server.said());
    ensure!(server.stop()?.success(), "{}", server.said());
    Ok(())
}

fn said_by(arguments: &[&str]) -> Result<String> {
    let output = port_control(arguments)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

async fn at_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = config(folder.path())?;
    some_life(folder.path(), &config).await?;
    let (database, yesterday) = (folder.path().join(DATABASE), folder.path().join("yesterday.db"));
    fs::copy(&database, &yesterday)?;
    some_life(folder.path(), &config).await?;
    // What SQLite keeps beside it belongs to the newer one.
    for beside in ["-wal", "-shm"] {
        drop(fs::remove_file(folder.path().join(format!("{DATABASE}{beside}"))));
    }
    fs::rename(&yesterday, &database)?;
    let file = folder.path().join("port-control.toml").display().to_string();
    let refused = port_control(&["serve", "--config", &file])?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(11), "it is served: {said}");
    ensure!(said.contains("the database was set back") && said.contains("log.pin"), "it says why: {said}");
    let recover = ["recover", "--config", &file, "--reason", "yesterday's copy was put back"];
    ensure!(said_by(&recover)?.contains("Do it with --yes"), "it says first what it would do");
    ensure!(!port_control(&["serve", "--config", &file])?.status.success(), "and does nothing");
    let said = said_by(&[&recover[..], &["--yes"]].concat())?;
    ensure!(said.contains("log.before-1"), "the old pin is kept: {said}");
    some_life(folder.path(), &config).await
}

async fn while_running(given: Given) -> Result<()> {
    let site = Site::open(given.open().await?).await?;
    site.note("one").await?;
    let rows: Vec<Head> =
        site.database.fetch_all(sql("SELECT size, root, edge, batch, time FROM log_head")).await?;
    let head = rows[0].clone();
    site.note("two").await?;
    // As it was a moment ago, past everybody, as a standby that lags behind would be.
    let mut tx = site.database.begin_write().await?;
    for table in [
        "DELETE FROM entries WHERE idx >= $1",
        "DELETE FROM openings WHERE entry >= $1",
        "DELETE FROM batches WHERE first >= $1",
    ] {
        tx.execute(sql(table).bind(head.size)).await?;
    }
    tx.execute(
        sql("UPDATE log_head SET size = $1, root = $2, edge = $3, batch = $4, time = $5")
            .bind(head.size)
            .bind(head.root)
            .bind(head.edge)
            .bind(head.batch)
            .bind(head.time),
    )
    .await?;
    tx.commit().await?;
    for name in ["three", "four"] {
        let (answer, _) = site.timed(name).await;
        let problem = answer.err();
        ensure!(problem.as_ref().is_some_and(|it| it.is(ProblemKind::LogIncomplete)), "{problem:?}");
        ensure!(!site.has(name).await?, "it was done all the same");
    }
    Ok(())
}
