//! The file as it is written: sections and keys, before anything is made of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{IssuerKind, MailTls};
use crate::base::{Name, SecretValue};

/// Keys that hold a credential itself: the environment may set them, the file may not.
pub(super) const CREDENTIALS: &[&str] = &[
    "client_secret",
    "passphrase",
    "password",
    "secret",
    "secret_access_key",
    "secret_id",
    "session_token",
    "token",
    "master_key",
];

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) listen: Option<String>,
    pub(super) public_url: String,
    pub(super) administrators: Vec<String>,
    pub(super) contact: String,
    #[serde(default)]
    pub(super) trusted_proxies: Vec<String>,
    pub(super) database: RawDatabase,
    pub(super) keys: RawKeys,
    pub(super) tls: Option<RawTls>,
    pub(super) engine: RawEngine,
    pub(super) providers: Vec<RawProvider>,
    #[serde(default)]
    pub(super) workload_issuers: Vec<RawWorkloadIssuer>,
    #[serde(default)]
    pub(super) clusters: BTreeMap<Name, RawCluster>,
    #[serde(default)]
    pub(super) webhooks: Vec<RawWebhook>,
    pub(super) mail: Option<RawMail>,
    #[serde(default)]
    pub(super) rotators: Vec<RawRotator>,
    #[serde(default)]
    pub(super) log: RawLog,
    #[serde(default)]
    pub(super) sessions: RawSessions,
    #[serde(default)]
    pub(super) sign_in: RawSignIn,
}

/// `[database]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDatabase {
    pub(super) url: Option<Hidden>,
    pub(super) url_file: Option<String>,
    pub(super) room: Option<String>,
}

/// `[keys]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKeys {
    pub(super) master_key_file: Option<String>,
    pub(super) passphrase_file: Option<String>,
    pub(super) passphrase: Option<Hidden>,
}

/// `[tls]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// `[engine]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEngine {
    pub(super) kind: EngineKind,
    pub(super) vault: Option<RawVault>,
}

/// `engine.kind`.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EngineKind {
    Embedded,
    Vault,
}

/// `[engine.vault]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVault {
    pub(super) address: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) mount: Option<String>,
    pub(super) max_versions: Option<u32>,
    pub(super) auth: RawAuth,
}

/// `engine.vault.auth`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuth {
    pub(super) method: AuthMethod,
    pub(super) mount: Option<String>,
    pub(super) role: Option<String>,
    pub(super) role_id: Option<String>,
    pub(super) secret_id_file: Option<String>,
    pub(super) secret_id: Option<Hidden>,
    pub(super) token_file: Option<String>,
    pub(super) token: Option<Hidden>,
}

/// `engine.vault.auth.method`.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AuthMethod {
    #[serde(rename = "approle")]
    AppRole,
    Kubernetes,
    Jwt,
    Token,
}

/// `[[providers]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProvider {
    pub(super) name: Name,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret_file: Option<String>,
    pub(super) client_secret: Option<Hidden>,
    pub(super) groups_claim: Option<String>,
    pub(super) name_claim: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    #[serde(default)]
    pub(super) email_domains: Vec<String>,
    #[serde(default)]
    pub(super) acr: Vec<String>,
    #[serde(default)]
    pub(super) required_acr: Vec<String>,
    #[serde(default)]
    pub(super) revalidate: bool,
}

/// `[[workload_issuers]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkloadIssuer {
    pub(super) name: Name,
    pub(super) kind: IssuerKind,
    pub(super) issuer: String,
    pub(super) audience: Option<String>,
    pub(super) cluster: Option<Name>,
}

/// `[clusters.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    pub(super) kubeconfig: Option<String>,
    pub(super) context: Option<String>,
    #[serde(default)]
    pub(super) in_cluster: bool,
    pub(super) directory: Option<String>,
}

/// `[[webhooks]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhook {
    pub(super) url: String,
    pub(super) secret_file: Option<String>,
    pub(super) secret: Option<Hidden>,
}

/// `[mail]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMail {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) tls: Option<MailTls>,
    pub(super) ca_file: Option<String>,
    pub(super) from: String,
    #[serde(default)]
    pub(super) administrators: Vec<String>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) password: Option<Hidden>,
}

/// `[[rotators]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRotator {
    pub(super) name: Name,
    pub(super) url: String,
    pub(super) secret_file: Option<String>,
    pub(super) secret: Option<Hidden>,
}

/// `[log]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) origin: Option<String>,
    #[serde(default)]
    pub(super) public: bool,
    pub(super) retention: Option<String>,
    pub(super) pin: Option<String>,
    #[serde(default)]
    pub(super) witnesses: Vec<RawWitness>,
    pub(super) witness_policy: Option<RawWitnessPolicy>,
    #[serde(default)]
    pub(super) forward: Vec<RawForward>,
    pub(super) archive: Option<RawArchive>,
}

/// `[log.archive]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawArchive {
    pub(super) to: String,
    pub(super) after: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key_file: Option<String>,
    pub(super) secret_access_key: Option<Hidden>,
    pub(super) session_token_file: Option<String>,
    pub(super) session_token: Option<Hidden>,
}

/// `[[log.witnesses]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWitness {
    pub(super) vkey: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) pins: bool,
}

/// `[log.witness_policy]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWitnessPolicy {
    pub(super) quorum: usize,
}

/// `[[log.forward]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawForward {
    pub(super) url: String,
    pub(super) token_file: Option<String>,
    pub(super) token: Option<Hidden>,
    #[serde(default)]
    pub(super) filter: BTreeMap<String, String>,
}

/// `[sessions]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSessions {
    pub(super) idle: Option<String>,
    pub(super) absolute: Option<String>,
}

/// `[sign_in]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSignIn {
    #[serde(default)]
    pub(super) device_flow: bool,
}

/// Text that is kept out of sight at once.
pub(super) struct Hidden(pub(super) SecretValue);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretValue::from(text)))
    }
}
