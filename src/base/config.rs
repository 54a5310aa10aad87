//! The server's configuration: a TOML file, and `PORT_CONTROL_SECTION__KEY` variables that beat it.
//!
//! Credentials are never in the file: a file names other files, or the environment holds them. What
//! cannot work or would not be safe is refused whole, every finding at once, before anything starts.

mod check;
mod overrides;
mod raw;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use super::{
    Name, Problem, ProblemKind, Result, SecretValue,
    located::{Finding, with_findings},
};

/// The server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address that the server listens on.
    pub listen: SocketAddr,
    /// The address that people and programs reach it at; https unless loopback.
    pub public_url: Url,
    /// Groups whose people are in the built-in scope `administrators`.
    pub administrators: Vec<AdministratorGroup>,
    /// Whom to ask, shown to someone who is in no scope: an address or a channel.
    pub contact: String,
    /// `sqlite:PATH` or `postgres://…`; may hold a password.
    pub database: Credential,
    /// How many bytes the database may take, where its disk cannot be asked.
    pub database_room: Option<u64>,
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// TLS of our own; nothing where a proxy does it or on loopback.
    pub tls: Option<TlsFiles>,
    /// Proxies whose `X-Forwarded-…` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where values live.
    pub engine: EngineConfig,
    /// Identity providers; at least one.
    pub providers: Vec<ProviderConfig>,
    /// Who issues workloads' tokens.
    pub workload_issuers: Vec<WorkloadIssuerConfig>,
    /// How each declared cluster is reached.
    pub clusters: BTreeMap<Name, Access>,
    /// Who is told of requests.
    pub webhooks: Vec<WebhookConfig>,
    /// How e-mail is sent; nothing where it is not.
    pub mail: Option<MailConfig>,
    /// Who is asked for new values, by the name that files use.
    pub rotators: BTreeMap<Name, WebhookConfig>,
    /// The log's public side.
    pub log: LogConfig,
    /// Who cosigns the log, and where it is forwarded to.
    pub outward: OutwardConfig,
    /// How long sign-ins last.
    pub sessions: SessionConfig,
    /// By which ways people sign in.
    pub sign_in: SignInConfig,
}

/// By which ways people sign in, beside the browser's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignInConfig {
    /// Whether a machine without a browser may show a code that is typed elsewhere (RFC 8628).
    pub device_flow: bool,
}

/// Something secret: in a file of its own, or given by the environment.
#[derive(Clone)]
pub enum Credential {
    /// In this file.
    File(PathBuf),
    /// This.
    Value(SecretValue),
}

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub enum MasterKeySource {
    /// A file that holds the key itself.
    File(PathBuf),
    /// A passphrase that the key is derived from.
    Passphrase(Credential),
}

/// Certificate chain and private key, PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Where values live.
#[derive(Clone, Debug)]
pub enum EngineConfig {
    /// In our own database, sealed.
    Embedded,
    /// In Vault or OpenBao.
    Vault(Box<VaultConfig>),
}

/// How e-mail is sent.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// The server that takes it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is made safe.
    pub tls: MailTls,
    /// Certificate authorities to believe instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// From whom it comes.
    pub from: String,
    /// Who is told of what only administrators can see to.
    pub administrators: Vec<String>,
    /// As whom we sign in there.
    pub credentials: Option<(String, Credential)>,
}

/// How a connection to a mail server is made safe. There is none that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// From the first byte.
    Implicit,
    /// By STARTTLS, without which nothing is sent.
    StartTls,
}

/// How Vault or OpenBao is reached.
#[derive(Clone, Debug)]
pub struct VaultConfig {
    /// Its address; https unless loopback.
    pub address: Url,
    /// Certificate authorities to believe instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// The KV v2 mount of our own secrets.
    pub mount: String,
    /// How many versions it keeps of each.
    pub max_versions: u32,
    /// How we sign in.
    pub auth: VaultAuth,
}

/// How we sign in to Vault.
#[derive(Clone, Debug)]
pub enum VaultAuth {
    /// AppRole.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// The role's id.
        role_id: String,
        /// The secret id.
        secret_id: Credential,
    },
    /// By the ServiceAccount token of the pod that we run in.
    Kubernetes {
        /// Where the method is mounted.
        mount: String,
        /// The role.
        role: String,
        /// The token; read again at each sign-in.
        token_file: PathBuf,
    },
    /// By a JWT.
    Jwt {
        /// Where the method is mounted.
        mount: String,
        /// The role.
        role: String,
        /// The token; read again at each sign-in.
        token_file: PathBuf,
    },
    /// By a token that somebody made.
    Token(Credential),
}

/// An identity provider.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// What it is called here: the source of its groups.
    pub name: Name,
    /// Its issuer identifier, compared exactly; https unless loopback.
    pub issuer: String,
    /// Our client id.
    pub client_id: String,
    /// Our client secret; nothing for a public client.
    pub client_secret: Option<Credential>,
    /// The claim that holds groups.
    pub groups_claim: String,
    /// The claim that holds the name to show.
    pub name_claim: String,
    /// The scopes to ask for; `openid` is among them.
    pub scopes: Vec<String>,
    /// The domains whose e-mail addresses it may assert. Empty: none is shown as verified.
    pub email_domains: Vec<String>,
    /// Authentication context classes to ask for.
    pub acr: Vec<String>,
    /// Classes of which a sign-in has to be by one; empty: any will do.
    pub required_acr: Vec<String>,
    /// Whether it is asked again, by refresh token, while somebody is signed in.
    pub revalidate: bool,
}

/// Who issues tokens of workloads: CI jobs, ServiceAccounts of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadIssuerConfig {
    /// What files call it.
    pub name: Name,
    /// Whose tokens they are.
    pub kind: IssuerKind,
    /// Its issuer identifier, as its tokens have it; https unless loopback, where its keys are fetched.
    pub issuer: String,
    /// Whom its tokens have to be for.
    pub audience: String,
    /// The cluster that is asked about each of its tokens; else its published keys have to do.
    pub cluster: Option<Name>,
}

/// Whose tokens an issuer issues: what a workload has to be pinned to follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerKind {
    /// Jobs of GitHub Actions.
    #[serde(rename = "github")]
    GitHub,
    /// Jobs of GitLab CI/CD.
    #[serde(rename = "gitlab")]
    GitLab,
    /// ServiceAccounts of a Kubernetes cluster.
    Kubernetes,
    /// Anybody else who speaks OpenID Connect.
    Oidc,
}

/// How a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// By a kubeconfig.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The context in it; its current one where nothing is said.
        context: Option<String>,
    },
    /// By the ServiceAccount of the pod that we run in.
    InCluster,
    /// No cluster: manifests in a folder.
    Directory(PathBuf),
}

/// Who is told of requests.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Where to.
    pub url: Url,
    /// What it is signed with.
    pub secret: Credential,
}

/// The log's public side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The log's name in its checkpoints: host and path, no scheme.
    pub origin: String,
    /// Whether checkpoints and tiles may be read without signing in.
    pub public: bool,
    /// How old entries have to be before a person can be forgotten in them.
    pub retention: Duration,
    /// Where the newest checkpoint is kept outside the database; nothing: it is not.
    pub pin: Option<PinConfig>,
}

/// Where the newest checkpoint is kept outside the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinConfig {
    /// In a file.
    File(PathBuf),
    /// In the bucket that old entries are moved to.
    Archive,
    /// In a ConfigMap.
    ConfigMap {
        /// In which cluster.
        cluster: Name,
        /// In which namespace.
        namespace: Name,
        /// What it is called.
        name: Name,
    },
}

/// What the log has to do with the outside.
#[derive(Clone, Debug, Default)]
pub struct OutwardConfig {
    /// Who is asked to cosign its checkpoints.
    pub witnesses: Vec<WitnessConfig>,
    /// How many of them it takes; all of them where nothing is said.
    pub quorum: Option<usize>,
    /// Where its entries are sent.
    pub forward: Vec<ForwardConfig>,
    /// Where its old entries are moved to; nothing: they stay.
    pub archive: Option<ArchiveConfig>,
}

/// Where old entries are moved to.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// The place.
    pub to: ArchivePlace,
    /// How old they have to be; never less than they are kept from being forgotten.
    pub after: Duration,
}

/// Where an archive lies. What is below it is the archive's alone.
#[derive(Clone, Debug)]
pub enum ArchivePlace {
    /// In a folder that is there.
    Folder(PathBuf),
    /// In a bucket of S3, or of what speaks like it.
    S3(Box<S3Config>),
}

/// A bucket and the way to it.
#[derive(Clone, Debug)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with; may be empty.
    pub prefix: String,
    /// Its address where it is not Amazon's; https unless loopback.
    pub endpoint: Option<Url>,
    /// Its region.
    pub region: String,
    /// Who we are there.
    pub access_key_id: String,
    /// What proves it; read again whenever it is needed.
    pub secret_access_key: Credential,
    /// What belongs to temporary credentials; read again whenever it is needed.
    pub session_token: Option<Credential>,
}

/// A witness (C2SP tlog-witness).
#[derive(Clone, Debug)]
pub struct WitnessConfig {
    /// Its verifier key, `NAME+ID+KEY`; read where the log is opened.
    pub vkey: String,
    /// Its submission prefix; https unless loopback.
    pub url: Url,
    /// Whether a server that knows less of the log than it does stops: it is believed without a signature.
    pub pins: bool,
}

/// Somewhere that entries are sent.
#[derive(Clone, Debug)]
pub struct ForwardConfig {
    /// Where to; https unless loopback.
    pub url: Url,
    /// The bearer token; read again for each batch.
    pub token: Credential,
    /// Which entries, as `/audit/v1/entries` has it; all of them where it is empty.
    pub filter: BTreeMap<String, String>,
}

/// How long sign-ins last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Without use.
    pub idle: Duration,
    /// Whatever happens.
    pub absolute: Duration,
}

impl Credential {
    /// Reads it; the one final newline of a file is taken off.
    ///
    /// # Errors
    /// `invalid-configuration` where the file cannot be read or is empty; names the file.
    pub fn read(&self) -> Result<SecretValue> {
        let path = match self {
            Self::Value(value) => return Ok(value.clone()),
            Self::File(path) => path,
        };
        let unreadable = |why: &dyn fmt::Display| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                format!("the credential file {} cannot be used: {why}", path.display()),
            )
            .remedy("Check that it exists and that the server's user may read it.")
        };
        let mut bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        if bytes.is_empty() {
            return Err(unreadable(&"it is empty"));
        }
        Ok(SecretValue::new(bytes))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "Credential({})", path.display()),
            Self::Value(_) => f.write_str("Credential(…)"),
        }
    }
}

impl Config {
    /// Reads the file, then what `env` overrides. Paths in the file are relative to its folder.
    ///
    /// # Errors
    /// `invalid-configuration` with every finding: file, line, what is wrong, what to do.
    pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Problem::new(
                ProblemKind::InvalidConfiguration,
                format!("the configuration {} cannot be read: {error}", path.display()),
            )
            .remedy("deploy/port-control.toml is a sample to start from.")
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::parse(&path.display().to_string(), &text, &folder, env)
    }

    /// The same from a text; `file` is what findings call it, `folder` what paths are relative to.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(
        file: &str,
        text: &str,
        folder: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        check::read(file, text, folder, &env.into_iter().collect()).map_err(refused)
    }
}

fn refused(findings: Vec<Finding>) -> Problem {
    with_findings(ProblemKind::InvalidConfiguration, "the configuration is not right", findings)
}

/// A group whose people are administrators: `PROVIDER/GROUP-ID` in the server's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdministratorGroup {
    /// The provider's name.
    pub provider: String,
    /// The group as the provider names it.
    pub id: String,
}

impl std::str::FromStr for AdministratorGroup {
    type Err = String;

    /// Ids may hold `/`: the provider's name ends at the first.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((provider, id)) if !provider.is_empty() && !id.is_empty() => {
                Ok(Self { provider: provider.to_owned(), id: id.to_owned() })
            }
            _ => Err(format!("'{}' wants the form PROVIDER/GROUP-ID", text.escape_debug())),
        }
    }
}

impl fmt::Display for AdministratorGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.id)
    }
}
