//! Leases of OpenBao's database engine, with a real PostgreSQL behind it: whoever leases a role signs in there,
//! and is refused once the lease is over, however that came about.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use port_control::{
    base::{
        Ambient, LeaseRef, ProblemKind, SecretValue, Timestamp,
        config::{Access, IssuerKind, WorkloadIssuerConfig},
    },
    client::{Client, Lease, Lent, NewRequest, PersonAct, Verdict},
    secrets::{lease_policy, least_policy},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{by_role, by_token, config, vault};
use crate::{
    peers::{OpenBao, Peers, Postgres, Private, TestDatabase, wait_for},
    support::{
        Given,
        house::{BOUND, GROUND, House, Settings, name, sign_in_as},
        jobs::JobIssuer,
        lending::{database_engine, engine, our_mount, part, reader, sign_in, token_role},
        on_each_database, on_sqlite,
        program::Portctl,
    },
};

const READER: &str = "reports/sandbox/reader";
/// What can be asked for in the other application.
const BY_REQUEST: &str = "---
kind: Group
name: leads
provider: dev
id: leads
---
kind: TrustScope
name: billing-access
members: {groups: [engineering]}
by-request: {approvers: [leads], longest: 1h}
allows:
  - actions: [lease]
    applications: [billing]
    environments: all
---
kind: TrustScope
name: lender
members: {groups: [engineering]}
allows:
  - actions: [lease]
    applications: [reports]
    environments: all
";

pub fn trials(peers: &Arc<Peers>) -> Vec<Trial> {
    [
        on_either(peers, "a_leased_role_signs_in_until_it_is_given_back", until_it_is_given_back),
        on_either(peers, "after_a_leaver_postgres_refuses_the_leased_role", after_a_leaver),
        on_either(peers, "a_lease_ends_with_its_grant", with_its_grant),
        on_either(peers, "abuse_25_a_jobs_lease_ends_with_its_declaration", with_its_declaration),
        with_both(peers, "a_lease_ends_with_a_suspension", with_a_suspension),
        with_both(peers, "a_lease_is_issued_once_under_a_key", once_under_a_key),
        with_both(peers, "a_command_has_credentials_while_it_runs", while_a_command_runs),
        with_both(peers, "check_says_what_leases_lack", check_says_what_leases_lack),
        with_both(peers, "an_engine_that_is_down_holds_nothing_else_up", engine_that_is_down),
        with_both(peers, "a_database_that_is_down_keeps_leases_in_sight", database_that_is_down),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The same, with the server's own database in each of the two.
fn on_either<Test, Running>(peers: &Arc<Peers>, name: &str, test: Test) -> Vec<Trial>
where
    Test: Fn(Given) -> Running + Copy + Send + 'static,
    Running: Future<Output = Result<()>> + 'static,
{
    if peers.postgres.is_none() || peers.openbao.is_none() {
        return Vec::new();
    }
    on_each_database(peers, &format!("engines::leases::{name}"), test)
}

fn with_both<Test, Running>(peers: &Arc<Peers>, name: &str, test: Test) -> Vec<Trial>
where
    Test: Fn(Given) -> Running + Copy + Send + 'static,
    Running: Future<Output = Result<()>> + 'static,
{
    if peers.postgres.is_none() || peers.openbao.is_none() {
        return Vec::new();
    }
    on_sqlite(peers, &format!("engines::leases::{name}"), test)
}

/// A server that can lease, and the database in which its roles are.
struct Site {
    house: House,
    database: TestDatabase,
    given: Given,
    /// What its files say.
    declared: String,
}

impl Site {
    async fn open(given: Given) -> Result<Self> {
        let bao = given.peers.openbao.clone().context("OpenBao was not started")?;
        let server = given.peers.postgres.clone().context("PostgreSQL was not started")?;
        Self::with(given, &bao, &server).await
    }

    async fn with(given: Given, bao: &OpenBao, server: &Postgres) -> Result<Self> {
        Self::believing(given, bao, server, Vec::new()).await
    }

    async fn believing(
        given: Given,
        bao: &OpenBao,
        server: &Postgres,
        workload_issuers: Vec<WorkloadIssuerConfig>,
    ) -> Result<Self> {
        let database = server.create_database("leases").await?;
        let mount = database_engine(bao, server, &database).await?;
        let ours = our_mount(bao, &[reader(&mount)]).await?;
        let folder = given.folder.path();
        let settings = Settings {
            engine: engine(bao, &ours)?,
            workload_issuers,
            ..Settings::new(&given.url, folder, Access::Directory(folder.join("cluster")))
        };
        let house = House::open(&settings).await?;
        let declared = declared(&mount);
        house.declare(&declared).await?;
        Ok(Self { house, database, given, declared })
    }

    async fn lease(&self, client: &Client) -> Result<Lent> {
        Ok(client.create_lease(&at(READER), None).await?)
    }

    /// Somebody else who is signed in.
    async fn person(&self, who: &str, groups: &[&str]) -> Result<Client> {
        let token = sign_in_as(&self.house.app, who, who, groups).await?;
        let server = self.house.url.parse().map_err(|e| anyhow::anyhow!("{e}"))?;
        Ok(Client::new(server, Some(token), Ambient::system(Timestamp::EPOCH))?)
    }

    /// A job that is signed in by its own platform's token, which says this besides.
    async fn job(&self, jobs: &JobIssuer, lies: &Value) -> Result<Client> {
        let token = jobs.token(FOR_US, lies);
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("subject_token", token.as_str()),
        ];
        let url = format!("{}/api/v1/token", self.house.url);
        let answer = crate::peers::http(None)?.post(url).form(&form).send().await?;
        ensure!(answer.status() == StatusCode::OK, "{}", answer.text().await?);
        let answer: Value = answer.json().await?;
        let token = answer["access_token"].as_str().context("no token")?.to_owned();
        let server = self.house.url.parse().map_err(|e| anyhow::anyhow!("{e}"))?;
        Ok(Client::new(server, Some(SecretValue::from(token)), Ambient::system(Timestamp::EPOCH))?)
    }

    /// Declares the job's workload beside what is declared anyhow, with what it may do.
    async fn declare_job(&self, branch: &str) -> Result<()> {
        let pins = format!(
            "{{repository_id: 22, repository_owner_id: 11, event_name: push, ref: refs/heads/{branch}}}"
        );
        let text = format!(
            "{}---\nkind: Workload\nname: reports-ci\nissuer: github\npins: {pins}\n---\n\
             kind: TrustScope\nname: ci\nmembers: {{workloads: [reports-ci]}}\nallows:\n  \
             - {{actions: [lease], applications: [reports], environments: all}}\n",
            self.declared
        );
        Ok(self.house.declare(&text).await?)
    }

    /// Whether the credentials are good where they were made for.
    async fn signs_in(&self, lent: &Lent) -> Result<bool> {
        sign_in(&self.database, &part(lent, "username")?, &part(lent, "password")?).await
    }

    async fn is_refused(&self, lent: &Lent) -> Result<()> {
        let look = async || (!self.signs_in(lent).await.ok()?).then_some(());
        wait_for("PostgreSQL refuses the leased role", BOUND, look).await
    }

    /// Waits until Dana, who may see people, sees a lease stand so.
    async fn stands(&self, lease: &Lease, state: &str, because: &str) -> Result<Lease> {
        let look = async || {
            let now = self.house.dana.lease(&lease.id).await.ok()?;
            (now.state == state && now.because.as_deref() == Some(because)).then_some(now)
        };
        let waited = wait_for(&format!("the lease is {state}, because {because}"), BOUND, look).await;
        match waited {
            Ok(now) => Ok(now),
            Err(late) => Err(late.context(format!("{:?}", self.house.dana.lease(&lease.id).await))),
        }
    }

    async fn close(self) -> Result<()> {
        self.house.close().await
    }
}

fn at(text: &str) -> LeaseRef {
    text.parse().expect("a test's role is one")
}

fn declared(mount: &str) -> String {
    let leases = format!(
        "environments: [{{name: sandbox}}]\nleases:\n  - environment: sandbox\n    name: reader\n    \
         at: {{mount: {mount}, role: reader}}\n    longest: 2h\n"
    );
    GROUND.replace("environments: [{name: sandbox}]\n", &leases) + BY_REQUEST
}

async fn until_it_is_given_back(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let lent = site.lease(&site.house.dana).await?;
    ensure!(lent.lease.state == "live" && site.signs_in(&lent).await?, "{:?}", lent.lease);
    let open = site.house.dana.leases(None, false).await?;
    ensure!(open.len() == 1 && open[0].id == lent.lease.id, "{open:?}");
    // The role's own span is five minutes: an hour was asked for, and is what the engine gives.
    let issued: Timestamp = parsed(lent.lease.issued_at.as_deref())?;
    let life = |lease: &Lease| Ok::<_, anyhow::Error>(parsed(Some(&lease.ends_at))?.since(issued));
    ensure!(life(&lent.lease)? > Duration::from_mins(59), "{:?}", lent.lease);
    let renewed = site.house.dana.renew_lease(&lent.lease.id, "9h").await?;
    let (longest, now) = (Duration::from_hours(2), life(&renewed)?);
    ensure!(now > longest.saturating_sub(Duration::from_mins(1)) && now <= longest, "{renewed:?}");
    site.house.dana.revoke_lease(&lent.lease.id).await?;
    // An engine on a busy machine may take longer than whoever gives it back waits.
    site.stands(&lent.lease, "ended", "given-back").await?;
    ensure!(!site.signs_in(&lent).await?, "it works still");
    for action in ["issuing", "issued", "renewing", "renewed", "ending", "ended"] {
        let entries = site.house.entries(&format!("lease.{action}")).await?;
        ensure!(
            entries.len() == 1 && entries[0].at.as_deref() == Some("reports/sandbox"),
            "{action}: {entries:?}"
        );
    }
    let again = site.house.dana.renew_lease(&lent.lease.id, "1h").await.err().context("it is over")?;
    ensure!(again.is(ProblemKind::Conflict), "{again}");
    site.close().await
}

fn parsed(text: Option<&str>) -> Result<Timestamp> {
    text.context("no time")?.parse().map_err(|e| anyhow::anyhow!("{e}"))
}

async fn leave(site: &Site, who: &str) -> Result<()> {
    site.house.dana.act_on_person(who, PersonAct::Deactivate, "left").await?;
    Ok(())
}

async fn after_a_leaver(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let lena = site.person("lena", &["engineering"]).await?;
    let (one, two) = (site.lease(&lena).await?, site.lease(&lena).await?);
    let hers = site.lease(&site.house.dana).await?;
    ensure!(site.signs_in(&one).await? && site.signs_in(&two).await?, "they work");
    leave(&site, "lena@example.com").await?;
    for lent in [&one, &two] {
        site.is_refused(lent).await?;
        site.stands(&lent.lease, "ended", "deactivated").await?;
    }
    ensure!(site.signs_in(&hers).await?, "nobody else's is touched");
    let look = async || {
        let leaver = site.house.dana.leaver("lena@example.com").await.ok()?;
        (leaver.line.closed_at.is_some() && leaver.line.left.leases == 0).then_some(leaver)
    };
    let leaver = wait_for("nothing is left of her", BOUND, look).await?;
    let ended = leaver.steps.iter().filter(|it| it.action == "lease.ended").count();
    ensure!(ended == 2, "{:?}", leaver.steps);
    site.close().await
}

async fn with_its_grant(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let omar = site.person("omar", &["leads"]).await?;
    let wanted = at("billing/sandbox/reader");
    let refused = site.house.dana.create_lease(&wanted, None).await.err().context("it takes a grant")?;
    ensure!(refused.is(ProblemKind::NeedsGrant), "{refused}");
    let wish =
        NewRequest { action: "lease", at: "billing/sandbox", scope: None, length: "4s", reason: "INC-123" };
    let asked = site.house.dana.ask(&wish).await?;
    omar.decide(&asked.request.id, Verdict::Approve, Some("fine")).await?;
    let lent = site.house.dana.create_lease(&wanted, None).await?;
    ensure!(lent.lease.grant.is_some() && site.signs_in(&lent).await?, "{:?}", lent.lease);
    ensure!(
        parsed(Some(&lent.lease.ends_at))?.since(parsed(lent.lease.issued_at.as_deref())?).as_secs() <= 4
    );
    site.is_refused(&lent).await?;
    let look = async || {
        let now = site.house.dana.lease(&lent.lease.id).await.ok()?;
        (now.state == "ended").then_some(now)
    };
    let over = wait_for("the lease is over", BOUND, look).await?;
    ensure!(["time", "grant-ended"].contains(&over.because.as_deref().unwrap_or_default()), "{over:?}");
    site.close().await
}

/// Whom jobs' tokens have to be for.
const FOR_US: &str = "https://port-control.example.com";

/// An issuer of jobs' tokens on a port of its own.
async fn issuer_of_jobs() -> Result<JobIssuer> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let jobs = JobIssuer::new(url, Ambient::system(Timestamp::EPOCH));
    let router = jobs.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(jobs)
}

async fn with_its_declaration(given: Given) -> Result<()> {
    let bao = given.peers.openbao.clone().context("OpenBao was not started")?;
    let server = given.peers.postgres.clone().context("PostgreSQL was not started")?;
    let jobs = issuer_of_jobs().await?;
    let believed = WorkloadIssuerConfig {
        name: name("github"),
        kind: IssuerKind::GitHub,
        issuer: jobs.url().to_owned(),
        audience: FOR_US.to_owned(),
        cluster: None,
    };
    let site = Site::believing(given, &bao, &server, vec![believed]).await?;
    site.declare_job("main").await?;
    let job = site.job(&jobs, &json!({})).await?;
    let lent = site.lease(&job).await?;
    ensure!(lent.lease.holder == "workload/reports-ci" && site.signs_in(&lent).await?, "{:?}", lent.lease);
    // By another token of the same job, too.
    let again = site.job(&jobs, &json!({})).await?;
    ensure!(again.renew_lease(&lent.lease.id, "1h").await?.state == "live", "it cannot be renewed");
    site.declare_job("release").await?;
    site.is_refused(&lent).await?;
    site.stands(&lent.lease, "ended", "declaration-moved").await?;
    // Who comes by that name now does not get what was not issued to it, and leases anew.
    let release = site.job(&jobs, &json!({ "ref": "refs/heads/release" })).await?;
    let refused = release.renew_lease(&lent.lease.id, "1h").await.err().context("it is over")?;
    ensure!(refused.is(ProblemKind::Conflict), "{refused}");
    let anew = site.lease(&release).await?;
    ensure!(site.signs_in(&anew).await?, "{:?}", anew.lease);
    site.house.declare(&site.declared).await?;
    site.is_refused(&anew).await?;
    site.stands(&anew.lease, "ended", "no-longer-declared").await?;
    site.close().await
}

async fn with_a_suspension(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let lena = site.person("lena", &["engineering"]).await?;
    let lent = site.lease(&lena).await?;
    site.house.dana.act_on_person("lena@example.com", PersonAct::Suspend, "lost her telephone").await?;
    site.is_refused(&lent).await?;
    site.stands(&lent.lease, "ended", "suspended").await?;
    site.close().await
}

/// A repeat tells nothing and makes nothing, though its first answer was lost; and a value is in no table.
async fn once_under_a_key(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let url = format!("{}/api/v1/leases", site.house.url);
    let token = site.house.token.expose_text().context("the token is text")?;
    let http = crate::peers::http(None)?;
    let post = || {
        let request = http.post(&url).bearer_auth(token).header("Idempotency-Key", "8e03978e");
        request.json(&json!({ "at": READER, "for": "10m" })).send()
    };
    let first = post().await?;
    ensure!(first.status() == StatusCode::CREATED, "{}", first.status());
    ensure!(first.headers().get("cache-control").is_some_and(|it| it == "no-store"), "{:?}", first.headers());
    let told: Value = first.json().await?;
    let second = post().await?;
    ensure!(second.status() == StatusCode::CONFLICT, "{}", second.status());
    let problem: Value = second.json().await?;
    ensure!(problem["remedy"].as_str().is_some_and(|it| it.contains("lease revoke")), "{problem}");
    ensure!(site.house.dana.leases(None, true).await?.len() == 1, "it was issued once");
    for credential in told["credentials"].as_array().context("no credentials")? {
        let value = credential["value"].as_str().context("no value")?;
        let database = std::fs::read(site.given.folder.path().join("port-control.db"))?;
        let log = std::fs::read(site.given.folder.path().join("port-control.db-wal"))?;
        for file in [database, log] {
            ensure!(!contains(&file, value.as_bytes()), "{} is in the database", credential["name"]);
        }
    }
    site.close().await
}

fn contains(file: &[u8], value: &[u8]) -> bool {
    file.windows(value.len()).any(|window| window == value)
}

async fn while_a_command_runs(given: Given) -> Result<()> {
    let site = Site::open(given).await?;
    let home = site.given.folder.path().join("home");
    std::fs::create_dir(&home)?;
    let token = site.house.token.expose_text().context("the token is text")?.to_owned();
    let portctl = Portctl::new(&home, &site.house.url, Some(token))?;
    let shell = "printf '%s %s' \"$READER_USERNAME\" \"$READER_PASSWORD\"; exit 7";
    let words = ["run", "reports/sandbox", "--lease", "reader", "--", "sh", "-c", shell];
    let ran = tokio::task::spawn_blocking(move || portctl.run(&words)).await??;
    ensure!(ran.code == 7, "{} {}", ran.code, ran.err);
    let all = site.house.dana.leases(None, true).await?;
    ensure!(all.len() == 1, "{all:?}");
    site.stands(&all[0], "ended", "given-back").await?;
    let out = String::from_utf8(ran.out)?;
    let (user, password) = out.split_once(' ').context("no credentials")?;
    let part = |name: &str, value: &str| port_control::client::Credential {
        name: name.to_owned(),
        value: SecretValue::from(value.to_owned()),
    };
    ensure!(user.starts_with("v-") && !password.is_empty(), "{user}");
    let credentials = vec![part("username", user), part("password", password)];
    ensure!(!site.signs_in(&Lent { lease: all[0].clone(), credentials }).await?, "it works still");
    site.close().await
}

async fn check_says_what_leases_lack(given: Given) -> Result<()> {
    let bao = given.peers.openbao.clone().context("OpenBao was not started")?;
    let server = given.peers.postgres.clone().context("PostgreSQL was not started")?;
    let database = server.create_database("leases").await?;
    let roles = [reader(&database_engine(&bao, &server, &database).await?)];
    let ours = our_mount(&bao, &roles).await?;
    let name = format!("{}-lease", ours.path);
    let fresh = || vault(config(&bao.address, &ours.path, by_role(&ours.role)));
    let lines = fresh()?.check_leases(&roles).await?;
    ensure!(lines.is_empty(), "{lines:?}");
    ensure!(fresh()?.check_with(&[]).await?.is_empty(), "leases need nothing that is not needed");
    let says = async |words: &str| {
        let lines = fresh()?.check_leases(&roles).await?.join("\n");
        ensure!(lines.contains(words), "'{words}' is missing in:\n{lines}");
        anyhow::Ok(())
    };
    token_role(&bao, &name, false).await?;
    says("set orphan=true").await?;
    bao.set_policy(&name, &lease_policy(&[])?).await?;
    says(&format!("leases cannot be issued: it may not read at {}/creds/reader", roles[0].mount)).await?;
    bao.call(Method::DELETE, &format!("auth/token/roles/{name}"), None).await?;
    says("there is no such role").await?;
    bao.set_policy(&ours.policy, &least_policy(&ours.path, &[])?).await?;
    says("it may not update at sys/leases/revoke").await?;
    let root = vault(config(&bao.address, &ours.path, by_token(&bao.root_token)))?;
    ensure!(root.check_leases(&[]).await?.is_empty(), "where no file declares a role, nothing is needed");
    Ok(())
}

/// Everything else of hers goes on; her leases are in sight, with what they wait for, and die when it is back.
async fn engine_that_is_down(given: Given) -> Result<()> {
    let mut bao = OpenBao::start_private().await?;
    let server = given.peers.postgres.clone().context("PostgreSQL was not started")?;
    let site = Site::with(given, &bao, &server).await?;
    let lena = site.person("lena", &["engineering"]).await?;
    let lent = site.lease(&lena).await?;
    bao.pause();
    leave(&site, "lena@example.com").await?;
    waits_for_the_engine(&site, &lent).await?;
    ensure!(site.signs_in(&lent).await?, "it is open in truth, too");
    bao.kill();
    waits_for_the_engine(&site, &lent).await?;
    bao.start_again().await?;
    site.is_refused(&lent).await?;
    site.stands(&lent.lease, "ended", "deactivated").await?;
    let look = async || site.house.dana.leaver("lena@example.com").await.ok()?.line.closed_at;
    wait_for("nothing is left of her", BOUND, look).await?;
    site.close().await
}

async fn waits_for_the_engine(site: &Site, lent: &Lent) -> Result<()> {
    let look = async || {
        let left = site.house.dana.leaver("lena@example.com").await.ok()?.line.left;
        let waits = site.stands(&lent.lease, "revoking", "deactivated").await.ok()?.waits_for?;
        let only_the_lease = left.leases == 1 && left.sessions + left.requests + left.grants == 0;
        (only_the_lease && waits.contains("does not answer")).then_some(())
    };
    wait_for("only the lease is left, and says what it waits for", BOUND, look).await
}

/// The engine answers and cannot take the role away: that it took the order is not enough.
async fn database_that_is_down(given: Given) -> Result<()> {
    let mut server: Private<Postgres> = Postgres::start_private().await?;
    let bao = given.peers.openbao.clone().context("OpenBao was not started")?;
    let site = Site::with(given, &bao, &server).await?;
    let lent = site.lease(&site.house.dana).await?;
    ensure!(site.signs_in(&lent).await?, "it works");
    server.kill();
    let now = site.house.dana.revoke_lease(&lent.lease.id).await?;
    ensure!(now.state == "revoking", "{now:?}");
    server.start_again().await?;
    site.is_refused(&lent).await?;
    site.stands(&lent.lease, "ended", "given-back").await?;
    site.close().await
}
