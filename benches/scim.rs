//! A company that is provisioned by SCIM for the first time, and one member of a large group:
//! `cargo bench --bench scim`; beside PostgreSQL by `POSTGRES_FSYNC=on tests/run --peers-only -- cargo bench
//! --bench scim`. `SCIM_PEOPLE` and `SCIM_GROUPS` say how large, where the usual size is too much.

#[path = "support/mod.rs"]
mod measure;
#[path = "../tests/peers/mod.rs"]
mod peers;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use measure::Times;
use peers::Peers;
use port_control::{base::config::Access, base::time::Stopwatch, store::Database};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use support::house::{House, Settings};

/// As many requests as an identity provider sends at once.
const AT_ONCE: usize = 32;
const MEMBERS: usize = 200;
const PATCHES: usize = 200;

/// The rows of which the bare inserts are made.
const TABLES: &[&str] = &[
    "people",
    "accounts",
    "scim_connections",
    "scim_users",
    "scim_emails",
    "scim_groups",
    "scim_members",
    "memberships",
];

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

struct Wire {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Wire {
    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let request = self.http.request(method, format!("{}/scim/v2/okta{path}", self.url));
        let answer = request.bearer_auth(&self.token).json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    async fn make(&self, path: &str, body: &Value) -> Result<String> {
        Ok(self.send(Method::POST, path, body).await?["id"].as_str().context("no id")?.to_owned())
    }

    async fn person(&self, number: usize) -> Result<String> {
        let name = format!("person-{number}");
        let body = json!({
            "userName": format!("{name}@example.com"), "externalId": name, "active": true, "displayName": name,
            "name": { "givenName": name, "familyName": "Example" },
            "emails": [{ "value": format!("{name}@example.com"), "type": "work", "primary": true }],
        });
        self.make("/Users", &body).await
    }

    async fn group(&self, name: &str, members: &[String]) -> Result<String> {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        self.make("/Groups", &json!({ "displayName": name, "externalId": name, "members": members })).await
    }
}

async fn wire(house: &House) -> Result<Wire> {
    // Connections stay open, as an identity provider's do.
    let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build()?;
    let body = json!({ "name": "okta", "provider": "dev", "link": "externalId=sub" });
    let request = http.post(format!("{}/api/v1/scim-connections", house.url));
    let token = house.token.expose_text().context("the token is text")?;
    let made: Value = request.bearer_auth(token).json(&body).send().await?.json().await?;
    let token = made["token"].as_str().with_context(|| made.to_string())?.to_owned();
    Ok(Wire { http, url: house.url.clone(), token })
}

#[derive(Default)]
struct Measured {
    people: Duration,
    groups: Duration,
    large: Duration,
    whole: Duration,
    patches: Times,
    bare: Option<Duration>,
}

async fn measure(settings: &Settings, people: usize, groups: usize) -> Result<Measured> {
    let house = House::open(settings).await?;
    let wire = &wire(&house).await?;
    let mut measured = Measured::default();
    let since = Stopwatch::start();
    let ids: Vec<String> =
        stream::iter(0..people).map(|it| wire.person(it)).buffered(AT_ONCE).try_collect().await?;
    measured.people = since.elapsed();
    let since = Stopwatch::start();
    let made: Vec<String> = stream::iter(0..groups)
        .map(|number| {
            let members = (0..MEMBERS)
                .map(|it| ids[(number * MEMBERS / 4 + it) % ids.len()].clone())
                .collect::<Vec<_>>();
            async move { wire.group(&format!("group-{number}"), &members).await }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    measured.groups = since.elapsed();
    ensure!(made.len() == groups);
    let large = wire.group("everybody", &[]).await?;
    let path = format!("/Groups/{large}");
    let change = |op: &str, ids: &[String]| {
        let value: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
        json!({ "Operations": [{ "op": op, "path": "members", "value": value }] })
    };
    let since = Stopwatch::start();
    for some in ids.chunks(1000) {
        wire.send(Method::PATCH, &path, &change("add", some)).await?;
    }
    measured.large = since.elapsed();
    let since = Stopwatch::start();
    wire.group("everybody-at-once", &ids).await?;
    measured.whole = since.elapsed();
    for number in 0..PATCHES {
        let op = if number % 2 == 0 { "remove" } else { "add" };
        let body = change(op, &ids[number / 2..=number / 2]);
        let since = Stopwatch::start();
        wire.send(Method::PATCH, &path, &body).await?;
        measured.patches.push(since.elapsed());
    }
    house.close().await?;
    if let Some(file) = settings.database.strip_prefix("sqlite:") {
        measured.bare = Some(bare(file, &settings.folder).await?);
    }
    Ok(measured)
}

/// The same rows into the same tables and indexes of another file, table by table, by one statement each.
async fn bare(file: &str, folder: &Path) -> Result<Duration> {
    let other = format!("sqlite:{}", folder.join("bare.db").display());
    let database = Database::open(&other).await?;
    database.migrate().await?;
    database.close().await;
    let mut connection = SqliteConnection::connect(&other).await?;
    sqlx::query("PRAGMA synchronous = FULL").execute(&mut connection).await?;
    sqlx::query("ATTACH DATABASE $1 AS was").bind(file).execute(&mut connection).await?;
    let since = Stopwatch::start();
    for table in TABLES {
        let text = format!("INSERT INTO main.{table} SELECT * FROM was.{table}");
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&mut connection).await?;
    }
    let took = since.elapsed();
    connection.close().await?;
    Ok(took)
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn print(what: &str, it: &Measured, people: usize, groups: usize) {
    println!(
        "{what}, {people} people, {groups} groups of {MEMBERS}, {AT_ONCE} requests at once, {}",
        measure::machine()
    );
    let seconds = |what: String, took: Duration| println!("{what:<60} {:>9.2} s", took.as_secs_f64());
    seconds("people, a POST each".to_owned(), it.people);
    seconds("groups, a POST each".to_owned(), it.groups);
    let both = it.people + it.groups;
    seconds("both (at most 60 s for 10,000 and 500)".to_owned(), both);
    seconds(format!("a group of {people}, a thousand members a PATCH"), it.large);
    seconds(format!("a group of {people} in one POST"), it.whole);
    if let Some(bare) = it.bare {
        let ratio = both.as_secs_f64() / bare.as_secs_f64();
        println!(
            "{:<60} {:>9.2} s {ratio:>8.1} times",
            "the same rows, bare, without entries",
            bare.as_secs_f64()
        );
    }
    println!(
        "{:<60} p50 {:.2} ms, p99 {:.2} ms",
        format!("one member patched in a group of {people} (at most 20 ms)"),
        it.patches.p50(),
        it.patches.p99()
    );
}

async fn all() -> Result<()> {
    let (people, groups) = (number("SCIM_PEOPLE", 10_000), number("SCIM_GROUPS", 500));
    let folder = measure::folder()?;
    let at = |database: &str| {
        Settings::new(database, folder.path(), Access::Directory(folder.path().join("cluster")))
    };
    let file = format!("sqlite:{}", folder.path().join("a.db").display());
    print("SQLite", &measure(&at(&file), people, groups).await?, people, groups);
    if let Some(postgres) = &Peers::from_env().postgres {
        let database = postgres.create_database("bench").await?;
        print("PostgreSQL", &measure(&at(&database.url), people, groups).await?, people, groups);
    }
    Ok(())
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(all()).context("a bench")
}
