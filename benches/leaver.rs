//! From the identity provider's word that somebody has left to the death of the last thing that worked for her,
//! leases at the engine included: `POSTGRES_FSYNC=on tests/run --peers-only -- cargo bench --bench leaver`.
//! Ten thousand people are there, and five hundred live grants. Beside it the engine is asked to take a lease back
//! by itself, which is the least that any way can take.

#[path = "support/mod.rs"]
mod measure;
#[path = "../tests/peers/mod.rs"]
mod peers;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use measure::Times;
use peers::{OpenBao, Peers, Postgres, TestDatabase};
use port_control::{
    base::{Ambient, SecretValue, Timestamp, config::Access, time::Stopwatch},
    client::{Asked, Client, Leaver, Lent, NewRequest, Verdict},
    store::{Query, sql},
};
use reqwest::Method;
use serde_json::{Value, json};
use support::{
    house::{BOUND, GROUND, House, ISSUER, Settings, sign_in_as},
    lending::{database_engine, engine, our_mount, part, reader, sign_in},
};

const PEOPLE: i64 = 10_000;
const GRANTS: usize = 500;
const AT_ONCE: usize = 16;
/// Of those with grants, so many leave, one after another.
const LEAVERS: usize = 60;
const LEASES: usize = 2;
/// What is promised, in milliseconds.
const MEDIAN: f64 = 1000.0;
const WORST: f64 = 5000.0;

const MORE: &str = "---\nkind: Group\nname: leads\nprovider: dev\nid: leads\n---\nkind: TrustScope\nname: lender\n\
    members: {groups: [engineering]}\nallows:\n  - actions: [lease]\n    applications: [reports]\n    \
    environments: all\n---\nkind: TrustScope\nname: billing-access\nmembers: {groups: [engineering]}\n\
    by-request: {approvers: [leads], longest: 8h}\nallows:\n  - actions: [run]\n    applications: [billing]\n    \
    environments: all\n---\nkind: TrustScope\nname: billing-more\nmembers: {groups: [engineering]}\n\
    by-request: {approvers: [leads], longest: 8h}\nallows:\n  - actions: [destroy]\n    applications: [billing]\n    \
    environments: all\n";

fn declared(mount: &str) -> String {
    let leases = format!(
        "environments: [{{name: sandbox}}]\nleases:\n  - environment: sandbox\n    name: reader\n    \
         at: {{mount: {mount}, role: reader}}\n    longest: 2h\n"
    );
    // What everybody may do in billing takes a grant here.
    let ground = GROUND.replacen("environments: [{name: sandbox}]\n", &leases, 1);
    ground.replace("    applications: all\n", "    applications: [reports]\n") + MORE
}

/// A server with its people, and the database in which its leases are good.
struct Company {
    house: House,
    http: reqwest::Client,
    scim: String,
    bao: OpenBao,
    mount: String,
    database: TestDatabase,
}

/// Somebody who is going to leave, with all that she holds.
struct Leaving {
    user: String,
    /// As `provisioned` has made it.
    id: String,
    sessions: Vec<SecretValue>,
    leases: Vec<Lent>,
}

fn subject(number: usize) -> String {
    format!("person-{number}")
}

/// As if each had been provisioned: a person, her account, and her row at the connection.
fn provisioned(issuer: &str) -> Vec<Query> {
    let number = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) ";
    let person = "'per_' || SUBSTR('00000000000000000000000000000000', 1, 32 - LENGTH(CAST(i AS TEXT))) \
                  || CAST(i AS TEXT)";
    let people = format!(
        "{number} INSERT INTO people (id, status, status_since, display_name, email, created_at, facts) \
         SELECT {person}, 'active', 0, 'Somebody', 'person-' || CAST(i AS TEXT) || '@example.com', 0, 1 FROM n"
    );
    let accounts = format!(
        "{number} INSERT INTO accounts (issuer, subject, person, provider, created_at) \
         SELECT $2, 'person-' || CAST(i AS TEXT), {person}, 'dev', 0 FROM n"
    );
    let users = format!(
        "{number} INSERT INTO scim_users (id, connection, person, user_name, user_name_key, active, body, version, \
         created_at, changed_at) SELECT 'user-' || CAST(i AS TEXT), 'okta', {person}, 'person-' || CAST(i AS TEXT), \
         'person-' || CAST(i AS TEXT), $2, '{{\"userName\":\"person-' || CAST(i AS TEXT) || '\"}}', 1, 0, 0 FROM n"
    );
    vec![
        Query::composed(people, Vec::new()).bind(PEOPLE),
        Query::composed(accounts, Vec::new()).bind(PEOPLE).bind(issuer),
        Query::composed(users, Vec::new()).bind(PEOPLE).bind(true),
    ]
}

impl Company {
    async fn open(database: &str, folder: &std::path::Path, peers: &Peers) -> Result<Self> {
        let bao =
            peers.openbao.clone().context("OpenBao was not started: see the first line of this file")?;
        let server: Postgres = peers.postgres.clone().context("PostgreSQL was not started")?;
        let good_at = server.create_database("leases").await?;
        let mount = database_engine(&bao, &server, &good_at).await?;
        let ours = our_mount(&bao, &[reader(&mount)]).await?;
        let settings = Settings {
            engine: engine(&bao, &ours)?,
            ..Settings::new(database, folder, Access::Directory(folder.join("cluster")))
        };
        let house = House::open(&settings).await?;
        house.declare(&declared(&mount)).await?;
        let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build()?;
        // One leaves after another here, and nobody has to be asked.
        let wish =
            json!({ "name": "okta", "provider": "dev", "link": "userName=sub", "removals_number": 100_000 });
        let request = http.post(format!("{}/api/v1/scim-connections", house.url)).json(&wish);
        let made: Value = request.bearer_auth(text(&house.token)?).send().await?.json().await?;
        let scim = made["token"].as_str().with_context(|| made.to_string())?.to_owned();
        let mut tx = house.app.database.begin_write().await?;
        for query in provisioned(ISSUER) {
            tx.execute(query).await?;
        }
        tx.commit().await?;
        Ok(Self { house, http, scim, bao, mount, database: good_at })
    }

    /// Signs somebody in, as her identity provider would.
    async fn sign_in(&self, who: &str, groups: &[&str]) -> Result<SecretValue> {
        sign_in_as(&self.house.app, who, who, groups).await
    }

    fn client(&self, token: &SecretValue) -> Result<Client> {
        let server = self.house.url.parse().map_err(|e| anyhow::anyhow!("{e}"))?;
        Ok(Client::new(server, Some(token.clone()), Ambient::system(Timestamp::EPOCH))?)
    }

    /// Gives somebody a grant; her session.
    async fn grant(&self, omar: &Client, number: usize) -> Result<SecretValue> {
        let token = self.sign_in(&subject(number), &["engineering"]).await?;
        let asked = self.ask(&token, "run").await?;
        omar.decide(&asked.request.id, Verdict::Approve, Some("fine")).await?;
        Ok(token)
    }

    async fn ask(&self, token: &SecretValue, action: &str) -> Result<Asked> {
        let wish = NewRequest { action, at: "billing/sandbox", scope: None, length: "8h", reason: "INC-123" };
        Ok(self.client(token)?.ask(&wish).await?)
    }

    /// Somebody with a grant has another session, something pending, and credentials at the engine.
    async fn prepare(&self, number: usize, first: SecretValue) -> Result<Leaving> {
        let second = self.sign_in(&subject(number), &["engineering"]).await?;
        self.ask(&second, "destroy").await?;
        let client = self.client(&second)?;
        let at = "reports/sandbox/reader".parse().map_err(|e| anyhow::anyhow!("{e}"))?;
        let mut leases = Vec::new();
        for _ in 0..LEASES {
            leases.push(client.create_lease(&at, None).await?);
        }
        for lent in &leases {
            ensure!(self.is_good(lent).await?, "a lease is good for nothing");
        }
        let id = format!("per_{number:032}");
        Ok(Leaving { user: format!("user-{number}"), id, sessions: vec![first, second], leases })
    }

    async fn is_good(&self, lent: &Lent) -> Result<bool> {
        sign_in(&self.database, &part(lent, "username")?, &part(lent, "password")?).await
    }

    async fn who(&self, token: &SecretValue) -> Result<u16> {
        let request = self.http.get(format!("{}/api/v1/whoami", self.house.url)).bearer_auth(text(token)?);
        Ok(request.send().await?.status().as_u16())
    }

    /// The identity provider says that she has left. When it was answered, when each lease was dead.
    async fn leave(&self, it: &Leaving) -> Result<(Duration, Vec<Duration>)> {
        let body = json!({ "Operations": [{ "op": "replace", "value": { "active": false } }] });
        let url = format!("{}/scim/v2/okta/Users/{}", self.house.url, it.user);
        let since = Stopwatch::start();
        let answer = self.http.patch(url).bearer_auth(&self.scim).json(&body).send().await?;
        let answered = since.elapsed();
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
        for token in &it.sessions {
            ensure!(self.who(token).await? == 403, "a session outlives the answer");
        }
        let mut dead = Vec::new();
        for lent in &it.leases {
            while self.is_good(lent).await? {
                ensure!(since.elapsed() < BOUND, "a lease outlives its holder by {BOUND:?}");
            }
            dead.push(since.elapsed());
        }
        Ok((answered, dead))
    }

    /// The engine takes back what it gave, told by nobody but this.
    async fn bare(&self) -> Result<Duration> {
        let made = self.bao.call(Method::GET, &format!("{}/creds/reader", self.mount), None).await?;
        let said = |it: &Value| Ok::<_, anyhow::Error>(it.as_str().context("no text")?.to_owned());
        let (user, password) = (said(&made["data"]["username"])?, said(&made["data"]["password"])?);
        ensure!(sign_in(&self.database, &user, &password).await?, "it is good for nothing");
        let wish = json!({ "lease_id": made["lease_id"], "sync": true });
        let since = Stopwatch::start();
        self.bao.call(Method::PUT, "sys/leases/revoke", Some(wish)).await?;
        while sign_in(&self.database, &user, &password).await? {}
        Ok(since.elapsed())
    }

    /// What the server says itself of what she held.
    async fn table(&self, id: &str) -> Result<Leaver> {
        Ok(self.house.dana.leaver(id).await?)
    }
}

fn text(token: &SecretValue) -> Result<&str> {
    token.expose_text().context("the token is text")
}

#[derive(Default)]
struct Measured {
    bare: Times,
    answered: Times,
    dead: Times,
    last: Option<Leaver>,
}

async fn measure(database: &str, folder: &std::path::Path, peers: &Peers) -> Result<Measured> {
    let company = Company::open(database, folder, peers).await?;
    let omar = company.client(&company.sign_in("omar", &["leads"]).await?)?;
    let (it, approver) = (&company, &omar);
    let sessions: Vec<SecretValue> = stream::iter(1..=GRANTS)
        .map(|number| it.grant(approver, number))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let live: Option<(i64,)> = company
        .house
        .app
        .database
        .fetch_optional(sql("SELECT CAST(count(*) AS BIGINT) FROM grants WHERE ended_at IS NULL"))
        .await?;
    ensure!(live.map(|(n,)| n) == i64::try_from(GRANTS).ok(), "{live:?} grants are live");
    let mut measured = Measured::default();
    for (number, session) in (1..=LEAVERS).zip(sessions) {
        let leaving = company.prepare(number, session).await?;
        measured.bare.push(company.bare().await?);
        let (answered, dead) = company.leave(&leaving).await?;
        measured.answered.push(answered);
        measured.dead.push(dead.into_iter().max().unwrap_or_default());
        let leaver = company.table(&leaving.id).await?;
        measured.last = Some(leaver);
    }
    company.house.close().await?;
    Ok(measured)
}

fn time(text: &str) -> Result<Timestamp> {
    text.parse().map_err(|e| anyhow::anyhow!("{e}"))
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn print(what: &str, it: &Measured) -> Result<()> {
    println!(
        "{what}, {PEOPLE} people, {GRANTS} live grants, {} leavers, {}",
        it.dead.count(),
        measure::machine()
    );
    println!("{:<62} {:>12} {:>12} {:>8}", "", "p50", "p99", "ratio");
    for (what, times) in [
        ("the engine takes one lease back by itself, bare", &it.bare),
        ("the provider's request is answered, her sessions are dead", &it.answered),
        ("the last credential is dead, two leases included", &it.dead),
    ] {
        let (p50, p99) = (times.p50(), times.p99());
        println!("{what:<62} {p50:>9.1} ms {p99:>9.1} ms {:>8.2}", p50 / it.bare.p50());
    }
    println!("promised of the last credential: {MEDIAN:.0} ms and {WORST:.0} ms");
    let Some(leaver) = &it.last else { return Ok(()) };
    let since = time(&leaver.line.since)?;
    println!("\nthe leaver table of {}, who left at {}", leaver.line.person.id, leaver.line.since);
    println!("{:<10} {:<40} {:>14}", "held", "what", "dead after");
    for held in &leaver.held {
        let died = held.ended_at.as_deref().map(time).transpose()?;
        let after = died.map_or("not yet".to_owned(), |at| format!("{} ms", at.since(since).as_millis()));
        println!("{:<10} {:<40} {after:>14}", held.kind, held.what);
    }
    println!();
    ensure!(it.dead.p50() <= MEDIAN && it.dead.p99() <= WORST, "this is not what is promised");
    Ok(())
}

async fn all() -> Result<()> {
    let peers = Peers::from_env();
    let folder = measure::folder()?;
    let file = format!("sqlite:{}", folder.path().join("port-control.db").display());
    print("SQLite", &measure(&file, folder.path(), &peers).await?)?;
    let server = peers.postgres.clone().context("PostgreSQL was not started")?;
    let (database, folder) = (server.create_database("bench").await?, measure::folder()?);
    print("PostgreSQL", &measure(&database.url, folder.path(), &peers).await?)
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(all()).context("a bench")
}
