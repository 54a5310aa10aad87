//! A whole server in this process, listening on a loopback port, with the example declared and people
//! signed in as an identity provider would have them.

use std::{collections::BTreeMap, fs, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use port_control::{
    api::{self, App, Limits},
    base::{
        SecretValue,
        config::{
            AdministratorGroup, ArchiveConfig, ArchivePlace, Config, Credential, EngineConfig, IssuerKind,
            LogConfig, MasterKeySource, OutwardConfig, ProviderConfig, SessionConfig, SignInConfig,
            WorkloadIssuerConfig,
        },
        ids::{PersonId, SessionId},
    },
    dev::idp::{CLIENT_ID, DevIdp, DevPerson},
    identity::{Arrival, Assertion},
    server::{Opening, Server},
    store::{Row, sql},
};
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    log::check::CheckLog,
    peers::http,
    support::{Given, jobs::JobIssuer, program::write_private},
};

/// What differs from test to test.
#[derive(Clone, Copy, Default)]
pub struct Differently {
    /// Whether the log is public.
    pub public_log: bool,
    /// What one caller may take up.
    pub limits: Limits,
    /// For how long nothing is forgotten; not at all unless said otherwise.
    pub retention: Duration,
    /// Whether old entries move to the folder `archive`: at once, when they are told to.
    pub archive: bool,
}

/// A running server. Ends with this value.
pub struct House {
    /// Its address, without a final slash.
    pub url: String,
    /// Its rooms.
    pub app: Arc<App>,
    /// Asks it to stop.
    pub stop: CancellationToken,
    /// What the page of its identity provider asks for.
    pub idp_secret: SecretValue,
    /// Issues tokens of CI jobs, as the workload issuer `github` of its configuration.
    pub jobs: JobIssuer,
    http: reqwest::Client,
    running: JoinHandle<()>,
}

/// Somebody who is signed in.
#[derive(Clone)]
pub struct Person {
    /// Her id.
    pub id: PersonId,
    /// Her session.
    pub session: SessionId,
    /// Its token: good as bearer token and as cookie.
    pub token: String,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: header::HeaderMap,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// Its body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// One of its headers.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The last part of its problem's type; empty where it is no problem document.
    pub fn problem(&self) -> String {
        if self.header("content-type") != "application/problem+json" {
            return String::new();
        }
        self.json()["type"].as_str().and_then(|uri| uri.rsplit('/').next()).unwrap_or("").to_owned()
    }

    /// Refuses anything but this status and this problem.
    pub fn is_problem(&self, status: u16, problem: &str) -> Result<()> {
        ensure!(
            self.status == status && self.problem() == problem,
            "wanted {status} {problem}, got {}: {}",
            self.status,
            self.text
        );
        Ok(())
    }

    /// Its body, where it is a success.
    pub fn done(self) -> Result<Value> {
        ensure!(self.status.is_success(), "{}: {}", self.status, self.text);
        Ok(self.json())
    }
}

impl House {
    /// Opens one on the database of a test, with the example applied by Ada.
    pub async fn open(given: &Given) -> Result<Self> {
        Self::open_differently(given, Differently::default()).await
    }

    /// The same, with something that differs.
    pub async fn open_differently(given: &Given, differently: Differently) -> Result<Self> {
        let house = Self::bare(given, differently).await?;
        let ada = house.sign_in("ada", &["it"]).await?;
        house.post(&ada, "/api/v1/apply", &json!({ "documents": example()? })).await?.done()?;
        Ok(house)
    }

    /// The same, with a configuration that differs.
    pub async fn open_configured(given: &Given, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let house = Self::serve_on(given, listener, Differently::default(), change).await?;
        let ada = house.sign_in("ada", &["it"]).await?;
        house.post(&ada, "/api/v1/apply", &json!({ "documents": example()? })).await?.done()?;
        Ok(house)
    }

    /// One in which nothing is declared.
    pub async fn bare(given: &Given, differently: Differently) -> Result<Self> {
        Self::serve(given, differently).await
    }

    /// One on a database that is there already.
    pub async fn serve(given: &Given, differently: Differently) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Self::serve_on(given, listener, differently, |_| ()).await
    }

    /// The same on a listener that is there already, with whatever `change` makes of its configuration.
    pub async fn serve_on(
        given: &Given,
        listener: TcpListener,
        differently: Differently,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        let http = http(None)?;
        given.open().await?.close().await;
        let address = listener.local_addr()?;
        let mut config = config(given, address, differently)?;
        change(&mut config);
        let server = Server::open(config, Opening::Serve).await?;
        let app = Arc::clone(&server.app);
        let stop = CancellationToken::new();
        let idp = DevIdp::new(DevPerson::seeded(), issuer(address).parse()?, app.ambient.clone())?;
        let idp_secret = idp.secret();
        let jobs = JobIssuer::new(job_issuer(address), app.ambient.clone());
        let router = api::router_within(Arc::clone(&app), differently.limits)
            .nest("/idp", idp.router())
            .nest("/jobs", jobs.router());
        let running = server.run(listener, router, None, stop.clone());
        let running = tokio::spawn(async move { drop(running.await) });
        Ok(Self { url: format!("http://{address}"), app, stop, idp_secret, jobs, http, running })
    }

    /// Verifies its whole log, asks it to stop, and waits until it has. One that was asked to stop before
    /// has closed its database.
    pub async fn close(mut self) -> Result<()> {
        if !self.stop.is_cancelled() {
            CheckLog::default().step(&self.app.database).await?;
        }
        self.stop.cancel();
        Ok((&mut self.running).await?)
    }

    /// What an identity provider's verified word comes to: a new session.
    pub async fn sign_in(&self, name: &str, groups: &[&str]) -> Result<Person> {
        self.sign_in_by(&format!("{}/idp", self.url), name, groups).await
    }

    /// The same by an identity provider of another address: what it was for a server before.
    pub async fn sign_in_by(&self, issuer: &str, name: &str, groups: &[&str]) -> Result<Person> {
        let assertion = Assertion {
            provider: "dev".parse().map_err(anyhow::Error::msg)?,
            issuer: issuer.to_owned(),
            subject: name.to_owned(),
            display_name: name.to_owned(),
            email: Some(format!("{name}@example.com")),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            sid: None,
            authenticated_at: self.app.ambient.now(),
            acr: None,
            amr: Vec::new(),
            sealed_id_token: None,
        };
        let arrival = Arrival { label: "a browser".to_owned(), network: None, replaces: None };
        let session = self.app.identity.take_in(assertion, arrival).await?;
        let token = session.token.expose_text().context("the token is text")?.to_owned();
        Ok(Person { id: session.person, session: session.id, token })
    }

    /// Somebody of the example.
    pub async fn example(&self, name: &str) -> Result<Person> {
        let groups: &[&str] = match name {
            "dana" => &["engineering"],
            "omar" | "lena" => &["engineering", "leads"],
            "ada" => &["it"],
            "aya" => &["audit"],
            _ => &[],
        };
        self.sign_in(name, groups).await
    }

    /// A request as nobody.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// A request by bearer token.
    pub fn as_bearer(&self, person: &Person, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&person.token)
    }

    /// A request by cookie; what it takes to post from one of our own pages is up to the test.
    pub fn by_cookie(&self, person: &Person, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header(header::COOKIE, format!("pc-session={}", person.token))
    }

    /// What the forms of her pages carry.
    pub fn csrf(&self, person: &Person) -> String {
        self.app.identity.csrf_token(person.session)
    }

    /// GET by bearer token.
    pub async fn get(&self, person: &Person, path: &str) -> Result<Answer> {
        send(self.as_bearer(person, Method::GET, path)).await
    }

    /// POST by bearer token.
    pub async fn post(&self, person: &Person, path: &str, body: &Value) -> Result<Answer> {
        send(self.as_bearer(person, Method::POST, path).json(body)).await
    }

    /// A form of one of her pages, posted as her browser would.
    pub async fn submit(&self, person: &Person, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let mut form = vec![("csrf", self.csrf(person))];
        form.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let request = self.by_cookie(person, Method::POST, path).header(header::ORIGIN, &self.url);
        send(request.form(&form)).await
    }

    /// Rows of the database.
    pub async fn all<T: Row>(&self, query: port_control::store::Query) -> Result<Vec<T>> {
        Ok(self.app.database.fetch_all(query).await?)
    }

    /// Suspends somebody as if `connection` had removed too many at once.
    pub async fn hold(&self, person: &Person, connection: &str) -> Result<()> {
        let mut tx = self.app.database.begin_write().await?;
        for query in [
            sql("UPDATE people SET status = 'suspended', status_cause = 'connection/' || $2 WHERE id = $1"),
            sql("INSERT INTO removals (id, person, connection, at, state, was_status, batch) \
                 VALUES ('rem_' || $1, $1, $2, 1, 'held', 'active', 'rmb_00000000000000000000000000000000')"),
        ] {
            tx.execute(query.bind(person.id).bind(connection)).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// How many entries the log has.
    pub async fn log_size(&self) -> Result<i64> {
        let rows: Vec<(i64,)> = self.all(sql("SELECT size FROM log_head WHERE id = 1")).await?;
        Ok(rows[0].0)
    }

    /// Dana's request for production, pending; its id.
    pub async fn a_request(&self, dana: &Person) -> Result<String> {
        let wish =
            json!({ "action": "reveal", "at": "reports/production", "for": "1h", "reason": "INC-123" });
        let answer = self.post(dana, "/api/v1/requests", &wish).await?.done()?;
        Ok(answer["request"]["id"].as_str().context("no id")?.to_owned())
    }

    /// Waits until what is done by itself has come this far.
    pub async fn eventually<Done, Looking>(&self, what: &str, done: Done) -> Result<()>
    where
        Done: Fn() -> Looking,
        Looking: Future<Output = Result<bool>>,
    {
        for _ in 0..400 {
            if done().await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        anyhow::bail!("it never came to this: {what}")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Sends, and reads the answer whole.
pub async fn send(request: RequestBuilder) -> Result<Answer> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok(Answer { status, headers, text: answer.text().await? })
}

/// The files of the example.
pub fn example() -> Result<Vec<Value>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/supa");
    let mut files: Vec<_> = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    files
        .iter()
        .map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            Ok(json!({ "file": name, "text": fs::read_to_string(file.path())? }))
        })
        .collect()
}

fn issuer(address: SocketAddr) -> String {
    format!("http://{address}/idp")
}

fn job_issuer(address: SocketAddr) -> String {
    format!("http://{address}/jobs")
}

fn archive(given: &Given, differently: Differently) -> Result<Option<ArchiveConfig>> {
    if !differently.archive {
        return Ok(None);
    }
    let folder = given.folder.path().join("archive");
    fs::create_dir_all(&folder)?;
    Ok(Some(ArchiveConfig { to: ArchivePlace::Folder(folder), after: Duration::ZERO }))
}

fn config(given: &Given, address: SocketAddr, differently: Differently) -> Result<Config> {
    let key = given.folder.path().join("master-key");
    if !key.exists() {
        write_private(&key, BASE64.encode(&[7; 32]).as_bytes())?;
    }
    let name = |text: &str| text.parse().map_err(anyhow::Error::msg);
    Ok(Config {
        listen: address,
        public_url: format!("http://{address}/").parse()?,
        administrators: vec![AdministratorGroup { provider: "dev".to_owned(), id: "it".to_owned() }],
        contact: "ada@example.com".to_owned(),
        database: Credential::Value(SecretValue::from(given.url.clone())),
        database_room: None,
        master_key: MasterKeySource::File(key),
        tls: None,
        trusted_proxies: Vec::new(),
        engine: EngineConfig::Embedded,
        providers: vec![ProviderConfig {
            name: name("dev")?,
            issuer: issuer(address),
            client_id: CLIENT_ID.to_owned(),
            client_secret: None,
            groups_claim: "groups".to_owned(),
            name_claim: "name".to_owned(),
            scopes: vec!["openid".to_owned()],
            email_domains: vec!["example.com".to_owned()],
            acr: Vec::new(),
            required_acr: Vec::new(),
            revalidate: false,
        }],
        workload_issuers: vec![WorkloadIssuerConfig {
            name: name("github")?,
            kind: IssuerKind::GitHub,
            issuer: job_issuer(address),
            audience: format!("http://{address}"),
            cluster: None,
        }],
        clusters: BTreeMap::from([(
            name("main")?,
            port_control::base::config::Access::Directory(given.folder.path().join("cluster")),
        )]),
        webhooks: Vec::new(),
        mail: None,
        rotators: BTreeMap::new(),
        log: LogConfig {
            pin: None,
            origin: "port-control.invalid/web".to_owned(),
            public: differently.public_log,
            retention: differently.retention,
        },
        outward: OutwardConfig { archive: archive(given, differently)?, ..OutwardConfig::default() },
        sessions: SessionConfig { idle: Duration::from_hours(12), absolute: Duration::from_hours(24) },
        sign_in: SignInConfig { device_flow: true },
    })
}
