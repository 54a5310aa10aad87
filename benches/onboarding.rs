//! From a newcomer's first sign-in to her running app, with its sandbox secrets: `cargo bench --bench
//! onboarding`. `portctl` and the app are processes; the identity provider is the development one, in this
//! process with the server. Nobody prepared anything for her but her groups at the provider.

#[path = "support/mod.rs"]
mod measure;
#[path = "../tests/peers/mod.rs"]
mod peers;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use measure::Times;
use port_control::{
    api,
    base::{Ambient, Config, Problem, SecretValue, Timestamp, time::Stopwatch},
    dev::{
        browser::Browser,
        idp::{CLIENT_ID, DevIdp, DevPerson},
    },
    server::{self, Opening, Server},
};
use support::program::{Portctl, free_port, write_private};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const NEWCOMERS: usize = 20;
/// What the machine may take of a newcomer's time.
const BOUND: Duration = Duration::from_secs(10);
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/supa");
const APP: &str = "test \"$DATABASE_URL\" = postgres://sandbox && echo running";

/// What she does, in this order, and what the machine does until she can go on.
const STEPS: [(&str, &str); 4] = [
    ("types `portctl login`", "says where to sign in"),
    ("signs in at her provider", "takes her in, and asks whether the terminal is hers"),
    ("clicks that it is", "signs the terminal in"),
    ("types `portctl run reports/sandbox -- APP`", "runs APP with its secrets"),
];

/// A server, and beside it on the same address a provider that knows Ada and everybody who joins: the development
/// one sends nobody elsewhere.
struct Site {
    url: String,
    secret: SecretValue,
}

async fn open(folder: &Path) -> Result<Site> {
    let port = free_port()?;
    let url = format!("http://127.0.0.1:{port}");
    let issuer = format!("{url}/idp");
    let config = configure(folder, &url, &issuer)?;
    server::migrate(&config).await.map_err(told)?;
    let newcomer = |n: usize| DevPerson {
        login: format!("newcomer{n}"),
        name: format!("Newcomer {n}"),
        email: format!("newcomer{n}@example.com"),
        groups: vec!["engineering".to_owned()],
    };
    let people = DevPerson::seeded().into_iter().chain((0..NEWCOMERS).map(newcomer)).collect();
    let idp = DevIdp::new(people, issuer.parse()?, Ambient::system(Timestamp::EPOCH)).map_err(told)?;
    let secret = idp.secret();
    let listener = TcpListener::bind(config.listen).await?;
    let server = Server::open(config, Opening::Serve).await.map_err(told)?;
    let router = api::router(server.app.clone()).nest("/idp", idp.router());
    tokio::spawn(server.run(listener, router, None, CancellationToken::new()));
    Ok(Site { url, secret })
}

fn configure(folder: &Path, url: &str, issuer: &str) -> Result<Config> {
    write_private(&folder.join("master-key"), BASE64.encode(&[7; 32]).as_bytes())?;
    let database = format!("sqlite:{}", folder.join("port-control.db").display());
    write_private(&folder.join("database-url"), database.as_bytes())?;
    let text = format!(
        "listen = \"{}\"\npublic_url = \"{url}\"\n\
         administrators = [\"dev/it\"]\ncontact = \"ada@example.com\"\n\
         [keys]\nmaster_key_file = \"master-key\"\n[log]\norigin = \"port-control.invalid/bench\"\n\
         [database]\nurl_file = \"database-url\"\n[engine]\nkind = \"embedded\"\n\
         [clusters.main]\ndirectory = \"cluster\"\n\
         [[workload_issuers]]\nname = \"github\"\nkind = \"github\"\n\
         issuer = \"https://token.actions.githubusercontent.com\"\n\
         [[providers]]\nname = \"dev\"\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT_ID}\"\n\
         email_domains = [\"example.com\"]\n",
        url.trim_start_matches("http://")
    );
    let file = folder.join("port-control.toml");
    std::fs::write(&file, text)?;
    Config::load(&file, []).map_err(told)
}

/// Somebody with a browser and a terminal.
struct Somebody<'s> {
    login: String,
    site: &'s Site,
    browser: Browser,
    portctl: Portctl,
}

impl<'s> Somebody<'s> {
    fn new(login: &str, folder: &Path, site: &'s Site) -> Result<Self> {
        let portctl = Portctl::new(&folder.join("homes").join(login), &site.url, None)?;
        Ok(Self { login: login.to_owned(), site, browser: Browser::new().map_err(told)?, portctl })
    }

    /// The first three steps, and how long the machine took for each.
    async fn signs_in(&mut self) -> Result<Vec<Duration>> {
        let mut took = Vec::new();
        let since = Stopwatch::start();
        let mut child = self.portctl.spawn(&["login", "--no-browser"])?;
        let mut said = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        took.push(since.elapsed());
        let since = Stopwatch::start();
        let url = self.site.url.parse()?;
        self.browser.sign_in(&url, "dev", &self.login, &self.site.secret).await.map_err(told)?;
        let address = line.trim().rsplit(' ').next().unwrap_or_default().parse();
        let page = self.browser.open(address.with_context(|| line.clone())?).await.map_err(told)?;
        took.push(since.elapsed());
        let since = Stopwatch::start();
        let back = self.browser.submit_to_leave(&page, &[]).await.map_err(told)?;
        self.browser.open(back).await.map_err(told)?;
        let status = child.wait()?;
        took.push(since.elapsed());
        let mut rest = String::new();
        said.read_to_string(&mut rest)?;
        ensure!(status.success(), "portctl login ended with {status}: {rest}");
        Ok(took)
    }

    /// The last one.
    fn runs(&self) -> Result<Duration> {
        let since = Stopwatch::start();
        let answer = self.portctl.run(&["run", "reports/sandbox", "--", "sh", "-c", APP])?;
        let took = since.elapsed();
        ensure!(answer.done()?.trim() == "running", "the app does not run");
        Ok(took)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
fn told(problem: Problem) -> anyhow::Error {
    anyhow::anyhow!("{problem}")
}

async fn measured(folder: &Path) -> Result<(Vec<Times>, Times)> {
    peers::http(None)?;
    let site = open(folder).await?;
    let mut ada = Somebody::new("ada", folder, &site)?;
    ada.signs_in().await?;
    ada.portctl.run(&["apply", "-f", EXAMPLE, "--yes"])?.done()?;
    let mut dana = Somebody::new("dana", folder, &site)?;
    dana.signs_in().await?;
    let set = ["secret", "set", "reports/sandbox/DATABASE_URL"];
    dana.portctl.run_with(&set, b"postgres://sandbox")?.done()?;
    let mut steps: Vec<Times> = STEPS.iter().map(|_| Times::default()).collect();
    let mut whole = Times::default();
    for n in 0..NEWCOMERS {
        let mut newcomer = Somebody::new(&format!("newcomer{n}"), folder, &site)?;
        let mut took = newcomer.signs_in().await?;
        took.push(newcomer.runs()?);
        whole.push(took.iter().sum());
        steps.iter_mut().zip(took).for_each(|(all, one)| all.push(one));
    }
    Ok((steps, whole))
}

#[expect(clippy::print_stdout, reason = "a bench prints its table")]
fn main() -> Result<()> {
    let folder = measure::folder()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (steps, whole) = runtime.block_on(measured(folder.path()))?;
    println!("onboarding of {NEWCOMERS} newcomers: the machine's time, in ms");
    println!("{:<46} {:<52} {:>8} {:>8}", "she", "the machine", "p50", "p99");
    for ((she, machine), times) in STEPS.iter().zip(&steps) {
        println!("{she:<46} {machine:<52} {:>8.0} {:>8.0}", times.p50(), times.p99());
    }
    let (p50, p99) = (whole.p50(), whole.p99());
    println!("{:<46} {:<52} {p50:>8.0} {p99:>8.0}", format!("{} steps of hers", STEPS.len()), "in all");
    ensure!(p99 <= BOUND.as_secs_f64() * 1e3, "the machine took more than {BOUND:?}");
    Ok(())
}
