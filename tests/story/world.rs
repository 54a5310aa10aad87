//! Where the story is played: a real server process over the peers.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use data_encoding::BASE64;
use port_control::{
    base::{Problem, ProblemKind, SecretValue},
    catalog::{Document, DocumentSet},
    client::ServerUrl,
    dev::{
        browser::{Browser, Page},
        story::{Delivered, World},
    },
    store::Database,
};
use serde_json::{Value, json};
use url::Url;

use crate::{
    log::check::CheckLog,
    peers::{self, Mount, OidcProvider, OpenBao, Peers, Realm, TestDatabase},
    support::{
        program::{Server, free_port, write_private},
        webhook::Receiver,
    },
};

/// Which combination it is.
#[derive(Clone, Copy, Debug)]
pub struct Combination {
    pub postgres: bool,
    pub openbao: bool,
    pub kubernetes: bool,
}

impl Combination {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|n| Self { postgres: n & 1 != 0, openbao: n & 2 != 0, kubernetes: n & 4 != 0 })
    }

    pub fn name(self) -> String {
        format!(
            "{}::{}::{}",
            if self.postgres { "postgres" } else { "sqlite" },
            if self.openbao { "openbao" } else { "embedded" },
            if self.kubernetes { "kubernetes" } else { "directory" },
        )
    }

    /// Whether every server that it needs was started.
    pub fn is_possible(self, peers: &Peers) -> bool {
        peers.oidc_provider.is_some()
            && (!self.postgres || peers.postgres.is_some())
            && (!self.openbao || peers.openbao.is_some())
            && (!self.kubernetes || peers.kubernetes.is_some())
    }
}

/// A server process, its peers, and what is kept for it.
pub struct House {
    pub server: Server,
    pub url: ServerUrl,
    pub folder: tempfile::TempDir,
    pub config: PathBuf,
    pub realm: Realm,
    /// The database's URL.
    pub database: String,
    pub webhook: Receiver,
    namespace: String,
    cluster: Cluster,
    peers: Arc<Peers>,
    _database: Option<TestDatabase>,
    mount: Option<Mount>,
}

/// Where deliveries go.
enum Cluster {
    Directory(PathBuf),
    Kubernetes,
}

impl House {
    pub async fn open(peers: Arc<Peers>, combination: Combination) -> Result<Self> {
        let provider = peers.oidc_provider.clone().context("no OpenID provider")?;
        Self::with_provider(peers, combination, &provider).await
    }

    /// The same with another OpenID provider than that of all tests.
    pub async fn with_provider(
        peers: Arc<Peers>,
        combination: Combination,
        provider: &OidcProvider,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let mut config = String::from(
            "administrators = [\"dev/it\"]\ncontact = \"ada@example.com\"\n\
             [keys]\nmaster_key_file = \"master-key\"\n[log]\norigin = \"port-control.invalid/story\"\n",
        );
        write_private(&folder.path().join("master-key"), BASE64.encode(&[7; 32]).as_bytes())?;
        let (url, database) = if combination.postgres {
            let database = peers.postgres.as_ref().context("no PostgreSQL")?.create_database("story").await?;
            (database.url.clone(), Some(database))
        } else {
            (format!("sqlite:{}", folder.path().join("port-control.db").display()), None)
        };
        write_private(&folder.path().join("database-url"), url.as_bytes())?;
        config.push_str("[database]\nurl_file = \"database-url\"\n");
        let realm = provider.realm().await?;
        config.push_str(&provider_section(&realm, &folder, port).await?);
        let webhook = Receiver::start().await?;
        write_private(&folder.path().join("webhook-secret"), webhook.secret.as_bytes())?;
        for line in ["[[webhooks]]\nurl = \"", &webhook.url, "\"\nsecret_file = \"webhook-secret\"\n"] {
            config.push_str(line);
        }
        let mount = if combination.openbao {
            Some(engine(&peers, &folder, &mut config).await?)
        } else {
            config.push_str("[engine]\nkind = \"embedded\"\n");
            None
        };
        let (cluster, namespace) = if combination.kubernetes {
            let kubernetes = peers.kubernetes.as_ref().context("no Kubernetes")?;
            let namespace = kubernetes.create_namespace("supa").await?;
            kubernetes.write_limited_kubeconfig(&folder.path().join("kubeconfig"), &[&namespace]).await?;
            config.push_str("[clusters.main]\nkubeconfig = \"kubeconfig\"\n");
            (Cluster::Kubernetes, namespace)
        } else {
            config.push_str("[clusters.main]\ndirectory = \"cluster\"\n");
            (Cluster::Directory(folder.path().join("cluster")), "supa".to_owned())
        };
        let server = Server::start(folder.path(), port, &config).await?;
        Ok(Self {
            url: server.url.parse().map_err(|e| anyhow::anyhow!("{e}"))?,
            server,
            config: folder.path().join("port-control.toml"),
            folder,
            realm,
            database: url,
            webhook,
            namespace,
            cluster,
            peers,
            _database: database,
            mount,
        })
    }

    /// Verifies what is new in the log since the last look.
    pub async fn check(&self, log: &mut CheckLog) -> Result<()> {
        let database = Database::open(&self.database).await?;
        log.step(&database).await?;
        database.close().await;
        Ok(())
    }

    /// The engine's server, where it is one.
    pub fn openbao(&self) -> Option<&OpenBao> {
        self.mount.as_ref().and(self.peers.openbao.as_ref())
    }

    /// Our own mount there.
    pub fn mount(&self) -> Option<&Mount> {
        self.mount.as_ref()
    }

    fn manifest(&self, folder: &std::path::Path) -> PathBuf {
        folder.join(&self.namespace).join("reports-env.json")
    }

    async fn manifest_now(&self) -> Result<Option<Value>> {
        match &self.cluster {
            Cluster::Kubernetes => {
                self.peers
                    .kubernetes
                    .as_ref()
                    .context("no Kubernetes")?
                    .secret(&self.namespace, "reports-env")
                    .await
            }
            Cluster::Directory(folder) => match fs::read(self.manifest(folder)) {
                Ok(text) => Ok(serde_json::from_slice(&text).ok()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    async fn edit_now(&self) -> Result<()> {
        let value = BASE64.encode(b"by hand");
        match &self.cluster {
            Cluster::Kubernetes => {
                let kubernetes = self.peers.kubernetes.as_ref().context("no Kubernetes")?;
                kubernetes
                    .patch_secret(&self.namespace, "reports-env", json!({ "data": { "EDITED": value } }))
                    .await
            }
            Cluster::Directory(folder) => {
                let file = self.manifest(folder);
                let mut manifest: Value = serde_json::from_slice(&fs::read(&file)?)?;
                manifest["data"]["EDITED"] = value.into();
                Ok(fs::write(&file, manifest.to_string())?)
            }
        }
    }

    async fn delete_now(&self) -> Result<()> {
        match &self.cluster {
            Cluster::Kubernetes => {
                let kubernetes = self.peers.kubernetes.as_ref().context("no Kubernetes")?;
                kubernetes.delete_secret(&self.namespace, "reports-env").await
            }
            Cluster::Directory(folder) => Ok(fs::remove_file(self.manifest(folder))?),
        }
    }
}

/// A provider that has us as its client.
async fn provider_section(realm: &Realm, folder: &tempfile::TempDir, port: u16) -> Result<String> {
    let client = realm.register(&format!("http://127.0.0.1:{port}/sign-in/dev/callback")).await?;
    write_private(&folder.path().join("client-secret"), client.secret.as_bytes())?;
    Ok(format!(
        "[[providers]]\nname = \"dev\"\nissuer = \"{}\"\nclient_id = \"{}\"\nclient_secret_file = \"client-secret\"\n\
         groups_claim = \"groups\"\nname_claim = \"name\"\nscopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\
         email_domains = [\"example.com\"]\n",
        realm.issuer, client.id
    ))
}

/// A mount of OpenBao of our own.
async fn engine(peers: &Peers, folder: &tempfile::TempDir, config: &mut String) -> Result<Mount> {
    let openbao = peers.openbao.as_ref().context("no OpenBao")?;
    let mount = openbao.mount().await?;
    write_private(&folder.path().join("secret-id"), mount.role.secret_id.as_bytes())?;
    let section = format!(
        "[engine]\nkind = \"vault\"\n[engine.vault]\naddress = \"{}\"\nmount = \"{}\"\n\
         auth = {{ method = \"approle\", role_id = \"{}\", secret_id_file = \"secret-id\" }}\n",
        openbao.address, mount.path, mount.role.role_id
    );
    config.push_str(&section);
    Ok(mount)
}

fn problem(error: &anyhow::Error) -> Problem {
    Problem::internal(format!("{error:#}"))
}

#[async_trait]
impl World for House {
    fn server(&self) -> &ServerUrl {
        &self.url
    }

    fn documents(&self) -> DocumentSet {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/supa");
        let mut documents: Vec<Document> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .map(|entry| Document {
                file: entry.file_name().to_string_lossy().into_owned(),
                text: fs::read_to_string(entry.path()).unwrap_or_default(),
            })
            .collect();
        documents.sort_by(|a, b| a.file.cmp(&b.file));
        // Several stories share one API server: each has a namespace of its own.
        for document in &mut documents {
            document.text = document
                .text
                .replace("namespace: supa\n", &format!("namespace: {}\n", self.namespace))
                .replace("  - name: supa\n", &format!("  - name: {}\n", self.namespace));
        }
        DocumentSet { source: None, documents }
    }

    async fn sign_in(&self, browser: &mut Browser, person: &str) -> Result<Page, Problem> {
        let start: Url =
            format!("{}/sign-in/dev?return_to=/whoami", self.server.url).parse().expect("an address");
        let authorize = browser.where_to(start).await?;
        let at_provider = peers::Browser::new().map_err(|e| problem(&e))?;
        let back = at_provider.sign_in(&authorize, person).await.map_err(|e| problem(&e))?;
        let page = browser.open(back).await?;
        if page.status.is_success() {
            return Ok(page);
        }
        Err(Problem::new(ProblemKind::SignInRefused, page.told()))
    }

    async fn delivered(&self) -> Result<Option<Delivered>, Problem> {
        let found = self.manifest_now().await.map_err(|e| problem(&e))?;
        Ok(found.map(|manifest| {
            let texts = |at: &Value| -> BTreeMap<String, String> {
                let map = at.as_object().into_iter().flatten();
                map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
            };
            let decoded = |text: &String| BASE64.decode(text.as_bytes()).unwrap_or_default();
            Delivered {
                values: texts(&manifest["data"])
                    .iter()
                    .map(|(k, v)| (k.clone(), SecretValue::new(decoded(v))))
                    .collect(),
                labels: texts(&manifest["metadata"]["labels"]),
                annotations: texts(&manifest["metadata"]["annotations"]),
            }
        }))
    }

    async fn edit(&self) -> Result<(), Problem> {
        self.edit_now().await.map_err(|e| problem(&e))
    }

    async fn delete(&self) -> Result<(), Problem> {
        self.delete_now().await.map_err(|e| problem(&e))
    }
}
