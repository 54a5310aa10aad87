//! The server of `dev`, with an identity provider and a cluster beside it.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf};

use async_trait::async_trait;
use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use data_encoding::BASE64;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    browser::{Browser, Page},
    folder::Folder,
    idp::{self, DevIdp, DevPerson},
    story::{Delivered, World},
};
use crate::{
    api,
    base::{
        Ambient, Problem, ProblemKind, Result, SecretValue,
        config::{
            Access, AdministratorGroup, Config, Credential, EngineConfig, LogConfig, MasterKeySource,
            OutwardConfig, ProviderConfig, SessionConfig,
        },
    },
    catalog::{Document, DocumentSet},
    client::ServerUrl,
    server::{Opening, Server},
};

/// What the example's files call the identity provider and the cluster.
const PROVIDER: &str = "dev";
const CLUSTER: &str = "main";
/// Where the identity provider lies on the server.
const PROVIDER_PATH: &str = "/dev-idp";

/// The files of the example; the ones in `examples/supa`.
const EXAMPLE: &[(&str, &str)] = &[
    ("applications.yaml", include_str!("../../examples/supa/applications.yaml")),
    ("clusters.yaml", include_str!("../../examples/supa/clusters.yaml")),
    ("deliveries.yaml", include_str!("../../examples/supa/deliveries.yaml")),
    ("groups.yaml", include_str!("../../examples/supa/groups.yaml")),
    ("scopes.yaml", include_str!("../../examples/supa/scopes.yaml")),
    ("source.yaml", include_str!("../../examples/supa/source.yaml")),
    ("teams.yaml", include_str!("../../examples/supa/teams.yaml")),
];

/// A running server with everything beside it.
pub(super) struct House {
    server: ServerUrl,
    url: Url,
    secret: SecretValue,
    manifest: PathBuf,
    new: bool,
    running: JoinHandle<Result<()>>,
}

impl House {
    /// Opens everything in `folder` and serves on `listen` until `stop`.
    pub(super) async fn open(
        folder: &Folder,
        listen: SocketAddr,
        ambient: Ambient,
        stop: CancellationToken,
    ) -> Result<Self> {
        let listener = TcpListener::bind(listen).await.map_err(|error| in_use(listen, &error))?;
        let address = listener.local_addr().map_err(|error| in_use(listen, &error))?;
        let url = parsed(&format!("http://{address}/"))?;
        let idp =
            DevIdp::new(DevPerson::seeded(), parsed(&format!("http://{address}{PROVIDER_PATH}"))?, ambient)?;
        let secret = idp.secret();
        let server = Server::open(config(folder, address, &url)?, Opening::Dev).await?;
        let new = server.app.log.head().size <= 1;
        let router = guarded(api::router(server.app.clone()).nest(PROVIDER_PATH, idp.router()), address);
        Ok(Self {
            server: url.as_str().parse().map_err(Problem::invalid)?,
            url,
            secret,
            manifest: folder.cluster(CLUSTER).join("supa").join("reports-env.json"),
            new,
            running: tokio::spawn(server.run(listener, router, None, stop)),
        })
    }

    /// Whether nothing has happened here yet.
    pub(super) fn is_new(&self) -> bool {
        self.new
    }

    /// Where it is.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// What the sign-in page asks for once.
    pub(super) fn secret(&self) -> &SecretValue {
        &self.secret
    }

    /// Waits until it has ended; it has been told to.
    pub(super) async fn close(self) -> Result<()> {
        self.running.await.unwrap_or_else(|_| Err(Problem::internal("the server panicked")))
    }

    fn edit_manifest(&self, change: impl FnOnce(&mut serde_json::Value)) -> Result<()> {
        let text = fs::read(&self.manifest).map_err(|error| unreadable(&error))?;
        let mut manifest =
            serde_json::from_slice(&text).map_err(|_| Problem::internal("the manifest is no JSON"))?;
        change(&mut manifest);
        fs::write(&self.manifest, manifest.to_string()).map_err(|error| unreadable(&error))
    }
}

#[async_trait]
impl World for House {
    fn server(&self) -> &ServerUrl {
        &self.server
    }

    fn documents(&self) -> DocumentSet {
        let document =
            |(file, text): &(&str, &str)| Document { file: (*file).to_owned(), text: (*text).to_owned() };
        DocumentSet { source: None, documents: EXAMPLE.iter().map(document).collect() }
    }

    async fn sign_in(&self, browser: &mut Browser, person: &str) -> Result<Page> {
        browser.sign_in(&self.url, PROVIDER, person, &self.secret).await
    }

    async fn delivered(&self) -> Result<Option<Delivered>> {
        match fs::read(&self.manifest) {
            Ok(text) => Ok(read_manifest(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&error)),
        }
    }

    async fn edit(&self) -> Result<()> {
        self.edit_manifest(|it| it["data"]["EDITED"] = BASE64.encode(b"by hand").into())
    }

    async fn delete(&self) -> Result<()> {
        fs::remove_file(&self.manifest).map_err(|error| unreadable(&error))
    }
}

fn read_manifest(text: &[u8]) -> Option<Delivered> {
    let manifest: serde_json::Value = serde_json::from_slice(text).ok()?;
    let texts = |at: &serde_json::Value| -> BTreeMap<String, String> {
        let map = at.as_object().into_iter().flatten();
        map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    let values = texts(&manifest["data"]).into_iter();
    Some(Delivered {
        values: values
            .filter_map(|(key, value)| Some((key, SecretValue::new(BASE64.decode(value.as_bytes()).ok()?))))
            .collect(),
        labels: texts(&manifest["metadata"]["labels"]),
        annotations: texts(&manifest["metadata"]["annotations"]),
    })
}

fn config(folder: &Folder, address: SocketAddr, url: &Url) -> Result<Config> {
    let name = |text: &str| text.parse().map_err(Problem::invalid);
    let issuer = format!("http://{address}{PROVIDER_PATH}");
    Ok(Config {
        listen: address,
        public_url: url.clone(),
        administrators: vec![AdministratorGroup { provider: PROVIDER.to_owned(), id: "it".to_owned() }],
        contact: "ada@example.com".to_owned(),
        database: Credential::Value(SecretValue::from(folder.database_url())),
        database_room: None,
        master_key: MasterKeySource::File(folder.master_key()),
        tls: None,
        trusted_proxies: Vec::new(),
        engine: EngineConfig::Embedded,
        providers: vec![ProviderConfig {
            name: name(PROVIDER)?,
            issuer,
            client_id: idp::CLIENT_ID.to_owned(),
            client_secret: None,
            groups_claim: "groups".to_owned(),
            name_claim: "name".to_owned(),
            scopes: vec!["openid".to_owned(), "profile".to_owned(), "email".to_owned()],
            email_domains: vec!["example.com".to_owned()],
            acr: Vec::new(),
            required_acr: Vec::new(),
            revalidate: false,
        }],
        workload_issuers: Vec::new(),
        clusters: BTreeMap::from([(name(CLUSTER)?, Access::Directory(folder.cluster(CLUSTER)))]),
        webhooks: Vec::new(),
        mail: None,
        rotators: BTreeMap::new(),
        log: LogConfig {
            pin: None,
            origin: "port-control.invalid/dev".to_owned(),
            public: true,
            retention: std::time::Duration::from_hours(400 * 24),
        },
        outward: OutwardConfig::default(),
        sessions: SessionConfig {
            idle: std::time::Duration::from_hours(12),
            absolute: std::time::Duration::from_hours(168),
        },
        sign_in: crate::base::config::SignInConfig::default(),
    })
}

/// Another site that resolves its own name to this machine, or posts to it, gets nothing.
fn guarded(router: Router, address: SocketAddr) -> Router {
    let host = address.to_string();
    let origin = format!("http://{address}");
    router.layer(from_fn(move |request: Request, next: Next| {
        let text = |name: header::HeaderName| request.headers().get(name).and_then(|it| it.to_str().ok());
        let own = text(header::HOST) == Some(&host) && text(header::ORIGIN).is_none_or(|it| it == origin);
        async move { if own { next.run(request).await } else { refuse() } }
    }))
}

fn refuse() -> Response {
    (StatusCode::MISDIRECTED_REQUEST, "not from here\n").into_response()
}

fn in_use(listen: SocketAddr, error: &std::io::Error) -> Problem {
    Problem::new(ProblemKind::InvalidConfiguration, format!("{listen} cannot be listened on: {error}"))
        .remedy("Name another port: `--listen 127.0.0.1:0` picks one.")
}

fn parsed(text: &str) -> Result<Url> {
    text.parse().map_err(|_| Problem::internal("an address of our own cannot be read"))
}

fn unreadable(error: &std::io::Error) -> Problem {
    Problem::internal(format!("the manifest cannot be read or written: {error}"))
}
