//! The server is killed under load, again and again: what was answered is there, nothing else came to be,
//! and no value was told without its entry. `KILL_ROUNDS=200 tests/run log::killed` is the long search.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use libtest_mimic::Trial;
use port_control::{
    base::ambient::{Chance as _, SeededChance},
    store::{Database, sql},
};
use serde_json::json;

use super::check::walk;
use crate::{
    peers::{Peers, http},
    support::{
        Given, on_each_database,
        program::{Server, free_port, write_private},
    },
    web::house::{Differently, House},
};

/// How often it is killed, unless `KILL_ROUNDS` says more.
const ROUNDS: usize = 12;
const CLIENTS: usize = 8;
const ENVIRONMENT: &str = "/api/v1/applications/reports/environments/sandbox/secrets";

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    on_each_database(peers, "log::killed_under_load_it_loses_nothing", killed)
}

/// What the clients were told, over all rounds.
#[derive(Default)]
struct Told {
    /// Versions by secret.
    set: BTreeMap<String, Vec<i64>>,
    /// How often a value was shown, by secret.
    revealed: BTreeMap<String, usize>,
}

async fn killed(given: Given) -> Result<()> {
    let token = prepare(&given).await?;
    let config = config(&given);
    let rounds = std::env::var("KILL_ROUNDS").ok().map_or(Ok(ROUNDS), |text| text.parse())?;
    let (mut told, chance) = (Told::default(), SeededChance::new(9));
    for round in 0..rounds {
        let mut server = Server::start(given.folder.path(), free_port()?, &config).await?;
        let mut draw = [0];
        chance.fill(&mut draw);
        let lives = Duration::from_millis(60 + 2 * u64::from(draw[0]));
        let (over, url) = (AtomicBool::new(false), server.url.clone());
        let killing = async {
            tokio::time::sleep(lives).await;
            server.kill()?;
            over.store(true, Ordering::SeqCst);
            anyhow::Ok(())
        };
        let clients = (0..CLIENTS).map(|client| use_it(&url, &token, client, &over));
        let (answers, outcome) = tokio::join!(join_all(clients), killing);
        outcome?;
        for (client, answer) in answers.into_iter().enumerate() {
            let (set, revealed) = answer.with_context(|| format!("client {client} in round {round}"))?;
            told.set.entry(name(client)).or_default().extend(set);
            *told.revealed.entry(name(client)).or_default() += revealed;
        }
        // The whole log at the end, and now and then.
        if round % 20 == 19 || round + 1 == rounds {
            check(&given.open().await?, &told).await.with_context(|| format!("after round {round}"))?;
        }
    }
    let all: usize = told.set.values().map(Vec::len).sum::<usize>() + told.revealed.values().sum::<usize>();
    eprintln!("killed {rounds} times; {all} answers were kept");
    ensure!(all > rounds, "the server was hardly ever used");
    Ok(())
}

/// The example, and Dana signed in; her token.
async fn prepare(given: &Given) -> Result<String> {
    let house = House::open_differently(given, Differently::default()).await?;
    let dana = house.example("dana").await?;
    house.close().await?;
    write_private(&given.folder.path().join("database-url"), given.url.as_bytes())?;
    Ok(dana.token)
}

/// As the house in this process has it.
fn config(given: &Given) -> String {
    let cluster = given.folder.path().join("cluster");
    format!(
        "administrators = [\"dev/it\"]\ncontact = \"ada@example.com\"\n\
         [database]\nurl_file = \"database-url\"\n[keys]\nmaster_key_file = \"master-key\"\n\
         [engine]\nkind = \"embedded\"\n[log]\norigin = \"port-control.invalid/web\"\n\
         [[providers]]\nname = \"dev\"\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"port-control\"\n\
         [clusters.main]\ndirectory = \"{}\"\n",
        Path::display(&cluster)
    )
}

fn name(client: usize) -> String {
    format!("S{client}")
}

/// Sets and reveals until the server is gone; the versions that were answered, and how often a value was.
async fn use_it(url: &str, token: &str, client: usize, over: &AtomicBool) -> Result<(Vec<i64>, usize)> {
    let (http, secret) = (http(None)?, format!("{url}{ENVIRONMENT}/{}", name(client)));
    let (mut set, mut revealed) = (Vec::new(), 0);
    while !over.load(Ordering::SeqCst) {
        let value = json!({ "encoding": "utf8", "value": format!("value {}", set.len()) });
        let answer = http.post(format!("{secret}/versions")).bearer_auth(token).json(&value).send().await;
        let Some(answer) = answer.ok().filter(|it| it.status().is_success()) else { continue };
        let Ok(answer) = answer.json::<serde_json::Value>().await else { continue };
        set.push(answer["version"].as_i64().context("no version")?);
        let Ok(answer) = http.get(format!("{secret}/value")).bearer_auth(token).send().await else {
            continue;
        };
        // Whatever arrived of the body may be the value.
        revealed += usize::from(answer.status().is_success());
    }
    Ok((set, revealed))
}

async fn check(database: &Database, told: &Told) -> Result<()> {
    let entries = walk(database).await?;
    for (secret, versions) in &told.set {
        let noted: Vec<i64> = column(database, secret, "secret.set").await?;
        let kept: Vec<(i64,)> = database
            .fetch_all(
                sql("SELECT v.number FROM versions v JOIN secrets s ON s.id = v.secret \
                     WHERE s.name = $1 ORDER BY v.number")
                .bind(secret),
            )
            .await?;
        ensure!(kept.len() == noted.len(), "{secret}: {} versions, {} entries", kept.len(), noted.len());
        for version in versions {
            ensure!(kept.contains(&(*version,)), "version {version} of {secret} was answered and is gone");
        }
        let revealed = column(database, secret, "secret.revealed").await?.len();
        ensure!(revealed >= told.revealed[secret], "{secret}: a value was told without its entry");
    }
    ensure!(!entries.is_empty(), "no log");
    database.clone().close().await;
    Ok(())
}

async fn column(database: &Database, secret: &str, action: &str) -> Result<Vec<i64>> {
    let rows: Vec<(i64,)> = database
        .fetch_all(sql("SELECT idx FROM entries WHERE secret = $1 AND action = $2").bind(secret).bind(action))
        .await?;
    Ok(rows.into_iter().map(|(index,)| index).collect())
}
