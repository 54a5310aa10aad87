//! A whole server within this process, and Dana, who is signed in to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use port_control::{
    api::{self, App},
    base::{
        Ambient, Config, Problem, SecretValue, Timestamp,
        config::{
            Access, AdministratorGroup, Credential, EngineConfig, LogConfig, MasterKeySource, OutwardConfig,
            ProviderConfig, SessionConfig, SignInConfig, WorkloadIssuerConfig,
        },
    },
    catalog::{Document, DocumentSet},
    client::{Apply, Client, Delivery},
    identity::{Arrival, Assertion},
    server::{Opening, Server, migrate},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::program::write_private;
use crate::peers::wait_for;

/// Where everybody comes from; it is never asked.
pub const ISSUER: &str = "http://127.0.0.1:9";

/// Longer than anything takes that happens by itself, however busy the machine is.
pub const BOUND: Duration = Duration::from_secs(30);

/// What a server is opened with.
#[derive(Clone)]
pub struct Settings {
    /// As the configuration has it.
    pub database: String,
    /// Where the master key lies.
    pub folder: PathBuf,
    /// How the cluster `main` is reached.
    pub cluster: Access,
    pub engine: EngineConfig,
    /// Whose tokens of workloads are believed.
    pub workload_issuers: Vec<WorkloadIssuerConfig>,
    /// Who cosigns the log, and where it is forwarded to.
    pub outward: OutwardConfig,
}

impl Settings {
    /// With the embedded engine.
    pub fn new(database: &str, folder: &Path, cluster: Access) -> Self {
        Self {
            database: database.to_owned(),
            folder: folder.to_owned(),
            cluster,
            engine: EngineConfig::Embedded,
            workload_issuers: Vec::new(),
            outward: OutwardConfig::default(),
        }
    }

    /// What a server that listens on `port` is configured with.
    pub fn config(&self, port: u16) -> Result<Config> {
        let key = self.folder.join("master-key");
        if !key.exists() {
            write_private(&key, BASE64.encode(&[7; 32]).as_bytes())?;
        }
        Ok(Config {
            listen: ([127, 0, 0, 1], port).into(),
            public_url: format!("http://127.0.0.1:{port}/").parse()?,
            administrators: vec![AdministratorGroup { provider: "dev".to_owned(), id: "it".to_owned() }],
            contact: "ada@example.com".to_owned(),
            database: Credential::Value(SecretValue::from(self.database.clone())),
            database_room: None,
            master_key: MasterKeySource::File(key),
            tls: None,
            trusted_proxies: Vec::new(),
            engine: self.engine.clone(),
            providers: vec![provider()],
            workload_issuers: self.workload_issuers.clone(),
            clusters: BTreeMap::from([(name("main"), self.cluster.clone())]),
            webhooks: Vec::new(),
            mail: None,
            rotators: BTreeMap::new(),
            log: LogConfig {
                pin: None,
                origin: "port-control.invalid/test".to_owned(),
                public: true,
                retention: Duration::from_hours(400 * 24),
            },
            outward: self.outward.clone(),
            sessions: SessionConfig {
                idle: Duration::from_hours(12),
                absolute: Duration::from_hours(7 * 24),
            },
            sign_in: SignInConfig::default(),
        })
    }
}

/// Where Dana comes from; it is never asked.
fn provider() -> ProviderConfig {
    ProviderConfig {
        name: name("dev"),
        issuer: ISSUER.to_owned(),
        client_id: "port-control".to_owned(),
        client_secret: None,
        groups_claim: "groups".to_owned(),
        name_claim: "name".to_owned(),
        scopes: vec!["openid".to_owned()],
        email_domains: vec!["example.com".to_owned()],
        acr: Vec::new(),
        required_acr: Vec::new(),
        revalidate: false,
    }
}

/// A name that a test writes.
pub fn name(text: &str) -> port_control::base::Name {
    text.parse().expect("a test's name is one")
}

/// A server that runs, and Dana's way to it: she is a developer and an administrator.
pub struct House {
    pub app: Arc<App>,
    pub dana: Client,
    /// Her token, for those who talk to the server without [`Client`].
    pub token: SecretValue,
    /// Without a final slash.
    pub url: String,
    stop: CancellationToken,
    running: JoinHandle<Result<(), Problem>>,
}

impl House {
    /// Makes the migrations, opens everything and serves on a port of its own.
    pub async fn open(settings: &Settings) -> Result<Self> {
        crate::peers::http(None)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let config = settings.config(listener.local_addr()?.port())?;
        let url = config.public_url.as_str().trim_end_matches('/').to_owned();
        migrate(&config).await?;
        let server = Server::open(config, Opening::Serve).await?;
        let (app, stop) = (Arc::clone(&server.app), CancellationToken::new());
        let router = api::router(Arc::clone(&app));
        let running = server.run(listener, router, None, stop.clone());
        // A test whose server is gone fails elsewhere, and would not say why.
        let running =
            tokio::spawn(async move { running.await.inspect_err(|problem| eprintln!("{problem}")) });
        let token = sign_in(&app).await?;
        let server = url.parse().map_err(|e| anyhow::anyhow!("{e}"))?;
        let dana = Client::new(server, Some(token.clone()), Ambient::system(Timestamp::EPOCH))?;
        Ok(Self { app, dana, token, url, stop, running })
    }

    /// Ends it as a signal would, and waits for that.
    pub async fn close(self) -> Result<()> {
        self.stop.cancel();
        tokio::time::timeout(BOUND, self.running).await.context("the server does not end")???;
        Ok(())
    }

    /// Declares what these lines do, and nothing else any more.
    pub async fn declare(&self, text: &str) -> Result<(), Problem> {
        let documents = vec![Document { file: "test.yaml".to_owned(), text: text.to_owned() }];
        let set = DocumentSet { source: None, documents };
        let apply = Apply { set: &set, allow_delete: true, expect_version: None, expect_digest: None };
        self.dana.apply(&apply).await.map(drop)
    }

    /// Sets a secret of `reports/sandbox`.
    pub async fn set(&self, secret: &str, value: &str) -> Result<(), Problem> {
        self.set_at(&format!("reports/sandbox/{secret}"), value).await
    }

    pub async fn set_at(&self, at: &str, value: &str) -> Result<(), Problem> {
        let at = at.parse().map_err(Problem::invalid)?;
        self.dana.set_secret(&at, &SecretValue::from(value.to_owned()), None).await.map(drop)
    }

    /// How a delivery stands, as Dana sees it.
    pub async fn delivery(&self, name: &str) -> Result<Delivery> {
        let all = self.dana.deliveries().await?.items;
        all.into_iter().find(|it| it.name == name).with_context(|| format!("Dana sees no delivery '{name}'"))
    }

    /// Waits until a delivery stands so, and says what was told of it then.
    pub async fn stands(&self, name: &str, state: &str) -> Result<String> {
        let look = async || {
            let it = self.delivery(name).await.ok()?;
            (it.state == state).then(|| it.detail.unwrap_or_default())
        };
        let outcome = wait_for(&format!("the delivery '{name}' is {state}"), BOUND, look).await;
        match outcome {
            Ok(detail) => Ok(detail),
            Err(late) => Err(late.context(format!("{:?}", self.delivery(name).await))),
        }
    }

    /// Waits until a delivery stands so, with a detail that says all of this.
    pub async fn says(&self, name: &str, state: &str, words: &[&str]) -> Result<()> {
        let look = async || {
            let it = self.delivery(name).await.ok()?;
            let detail = it.detail.unwrap_or_default();
            (it.state == state && words.iter().all(|word| detail.contains(word))).then_some(())
        };
        let what = format!("the delivery '{name}' is {state} and says {words:?}");
        match wait_for(&what, BOUND, look).await {
            Ok(()) => Ok(()),
            Err(late) => Err(late.context(format!("{:?}", self.delivery(name).await))),
        }
    }

    /// All entries of one action, the oldest first.
    pub async fn entries(&self, action: &str) -> Result<Vec<port_control::audit::read::Entry>> {
        let page = self.dana.audit_entries(&[("action", action), ("limit", "500")]).await?;
        ensure!(page.next.is_none(), "more entries of {action} than fit a page");
        let mut items = page.items;
        items.sort_by_key(|it| it.index);
        Ok(items)
    }
}

/// Signs Dana in as if her identity provider had said so, and gives her token.
pub async fn sign_in(app: &App) -> Result<SecretValue> {
    sign_in_as(app, "dana", "Dana", &["engineering", "it"]).await
}

/// The same for anybody.
pub async fn sign_in_as(app: &App, who: &str, called: &str, groups: &[&str]) -> Result<SecretValue> {
    let assertion = Assertion {
        provider: name("dev"),
        issuer: ISSUER.to_owned(),
        subject: who.to_owned(),
        display_name: called.to_owned(),
        email: Some(format!("{who}@example.com")),
        groups: groups.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>(),
        sid: None,
        authenticated_at: app.ambient.now(),
        acr: None,
        amr: vec!["pwd".to_owned()],
        sealed_id_token: None,
    };
    let arrival = Arrival { label: "a test".to_owned(), network: None, replaces: None };
    Ok(app.identity.take_in(assertion, arrival).await?.token)
}

/// What every test declares: two teams with an application each, and Dana, who may do everything.
pub const GROUND: &str = "kind: Source
name: test
---
kind: Group
name: engineering
provider: dev
id: engineering
---
kind: Team
name: supa-team
groups: [engineering]
---
kind: Team
name: other-team
groups: [engineering]
---
kind: Application
name: reports
team: supa-team
environments: [{name: sandbox}]
---
kind: Application
name: billing
team: other-team
environments: [{name: sandbox}]
---
kind: TrustScope
name: developer
members: {groups: [engineering]}
allows:
  - actions: [list, reveal, set, run, destroy, see-delivery, pause-delivery]
    applications: all
    environments: all
  - actions: [read-log]
";
