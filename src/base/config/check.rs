//! From what is written to what is meant: everything that could not work or would not be safe is a finding.

mod archive;
mod mail;
mod outward;
mod pin;
mod room;
mod workloads;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use serde::Deserialize;
use url::{Host, Url};

use super::{
    Access, AdministratorGroup, Config, Credential, EngineConfig, LogConfig, MasterKeySource, ProviderConfig,
    SessionConfig, SignInConfig, TlsFiles, VaultAuth, VaultConfig, WebhookConfig, overrides,
    raw::{
        AuthMethod, CREDENTIALS, EngineKind, Hidden, Raw, RawAuth, RawCluster, RawDatabase, RawKeys, RawLog,
        RawProvider, RawRotator, RawSessions, RawVault, RawWebhook,
    },
    text,
};
use crate::base::{
    Name, SecretValue,
    located::{Finding, Node, Place, Value, nearest},
    time::parse_duration,
};

/// Where a pod finds its own token.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Reads a configuration, or says everything that is wrong with it.
pub(super) fn read(
    file: &str,
    toml: &str,
    folder: &Path,
    env: &BTreeMap<String, String>,
) -> Result<Config, Vec<Finding>> {
    let mut root = text::parse(file, toml).map_err(|finding| vec![finding])?;
    let mut findings = Vec::new();
    take_credentials(&mut root, &mut findings);
    overrides::lay_over(&mut root, env, &mut findings);
    let raw = match root.read(|reader| Raw::deserialize(reader)) {
        Ok(raw) => raw,
        Err(more) => {
            findings.extend(more);
            return Err(findings);
        }
    };
    let mut check = Check { root: &root, folder, findings };
    match check.config(raw) {
        Some(config) if check.findings.is_empty() => Ok(config),
        _ => Err(check.findings),
    }
}

/// Takes credentials out of the file's tree, each with a finding that does not repeat it.
fn take_credentials(node: &mut Node, findings: &mut Vec<Finding>) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| take_credentials(item, findings)),
        Value::Map(entries) => {
            entries.retain(|entry| {
                let scalar = !matches!(entry.node.value, Value::Map(_) | Value::List(_));
                let is_one = scalar && CREDENTIALS.contains(&entry.key.as_str());
                if is_one {
                    findings.push(entry.place.finding(
                        format!("'{}' is a credential, and a credential is not kept in this file", entry.key),
                        format!(
                            "Write it to a file of its own and name it in '{0}_file', or set it by its \
                             PORT_CONTROL_… variable; count the one that stood here as known.",
                            entry.key
                        ),
                    ));
                }
                !is_one
            });
            for entry in entries {
                take_credentials(&mut entry.node, findings);
            }
        }
        _ => {}
    }
}

struct Check<'a> {
    root: &'a Node,
    folder: &'a Path,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn place(&self, path: &[&str]) -> Place {
        self.root.place_of(path).clone()
    }

    fn wrong(&mut self, path: &[&str], message: impl Into<String>, remedy: impl Into<String>) {
        let finding = self.place(path).finding(message, remedy);
        self.findings.push(finding);
    }

    fn path(&self, text: String) -> PathBuf {
        self.folder.join(text)
    }

    fn config(&mut self, mut raw: Raw) -> Option<Config> {
        let public_url = self.url(&["public_url"], &raw.public_url);
        let listen = self.listen(raw.listen.as_deref());
        let trusted_proxies = self.networks(&raw.trusted_proxies);
        if let Some(listen) = listen {
            self.not_in_the_clear(listen, raw.tls.is_some() || !raw.trusted_proxies.is_empty());
        }
        let tls =
            raw.tls.map(|it| TlsFiles { certificate: self.path(it.certificate), key: self.path(it.key) });
        let database_room = self.room(raw.database.room.as_deref());
        let database = self.database(raw.database);
        let master_key = self.keys(raw.keys);
        let engine = self.engine(raw.engine.kind, raw.engine.vault);
        let administrators = self.administrators(&raw.administrators, &raw.providers);
        let providers = self.providers(raw.providers);
        let clusters = self.clusters(raw.clusters);
        let workload_issuers = self.workload_issuers(raw.workload_issuers, public_url.as_ref(), &clusters);
        let webhooks = self.webhooks(raw.webhooks);
        let mail = self.mail(raw.mail);
        let rotators = self.rotators(raw.rotators);
        let mut outward = self.outward(&mut raw.log);
        let (archive, pin) = (raw.log.archive.take(), raw.log.pin.take());
        let mut log = self.log(raw.log, public_url.as_ref());
        outward.archive = archive.and_then(|it| self.archive(it, log.retention));
        log.pin = self.pin(pin.as_deref(), outward.archive.as_ref(), &clusters);
        let sessions = self.sessions(&raw.sessions);
        if raw.contact.trim().is_empty() {
            self.wrong(&["contact"], "'contact' is empty", "Say whom someone without access can ask.");
        }
        Some(Config {
            listen: listen?,
            public_url: public_url?,
            administrators,
            contact: raw.contact,
            database: database?,
            database_room,
            master_key: master_key?,
            tls,
            trusted_proxies,
            engine: engine?,
            providers,
            workload_issuers,
            clusters,
            webhooks,
            mail,
            rotators,
            log,
            outward,
            sessions,
            sign_in: SignInConfig { device_flow: raw.sign_in.device_flow },
        })
    }

    fn listen(&mut self, text: Option<&str>) -> Option<SocketAddr> {
        let parsed = text.unwrap_or("127.0.0.1:8080").parse().ok();
        if parsed.is_none() {
            self.wrong(&["listen"], "'listen' is no address and port", "Write for example 127.0.0.1:8080.");
        }
        parsed
    }

    fn not_in_the_clear(&mut self, listen: SocketAddr, guarded: bool) {
        if !guarded && !listen.ip().is_loopback() {
            self.wrong(
                &["listen"],
                format!(
                    "{listen} is not loopback, and sessions and values would cross the network in the clear"
                ),
                "Set [tls] certificate and key, or name the proxy that does TLS in trusted_proxies.",
            );
        }
    }

    /// An address that is safe to send credentials to: https, or http on loopback.
    fn url(&mut self, path: &[&str], text: &str) -> Option<Url> {
        let Ok(url) = Url::parse(text) else {
            self.wrong(path, "this is no URL", "Write for example https://port-control.example.com.");
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            self.wrong(path, "a URL here holds no user and password", "Take the part before the @ out.");
            return None;
        }
        match url.scheme() {
            "https" => Some(url),
            "http" if is_loopback(&url) => Some(url),
            _ => {
                self.wrong(path, "this is not https", "Use https; plain http is taken on loopback alone.");
                None
            }
        }
    }

    fn networks(&mut self, texts: &[String]) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => networks.push(network),
                Err(_) => self.wrong(
                    &["trusted_proxies", &index.to_string()],
                    format!("'{}' is no network", text.escape_debug()),
                    "Write for example 10.0.0.0/8 or 10.1.2.3.",
                ),
            }
        }
        networks
    }

    fn database(&mut self, raw: RawDatabase) -> Option<Credential> {
        match (raw.url, raw.url_file) {
            (None, Some(file)) => Some(Credential::File(self.path(file))),
            (Some(Hidden(url)), None) => self.database_url(url),
            (None, None) => {
                self.wrong(
                    &["database"],
                    "'url' is missing",
                    "Add url = \"sqlite:port-control.db\" or url_file.",
                );
                None
            }
            (Some(_), Some(_)) => {
                self.wrong(&["database", "url"], "both 'url' and 'url_file' are set", "Keep one of the two.");
                None
            }
        }
    }

    fn database_url(&mut self, url: SecretValue) -> Option<Credential> {
        let text = url.expose_text().unwrap_or_default();
        let from_file = self.root.place_of(&["database", "url"]).line > 0;
        if let Some(path) = text.strip_prefix("sqlite:") {
            if from_file && path != ":memory:" {
                let joined = self.folder.join(path);
                return Some(Credential::Value(SecretValue::from(format!("sqlite:{}", joined.display()))));
            }
            return Some(Credential::Value(url));
        }
        let parsed = Url::parse(text).ok().filter(|it| matches!(it.scheme(), "postgres" | "postgresql"));
        let Some(parsed) = parsed else {
            self.wrong(
                &["database", "url"],
                "this is no database that we know",
                "Write sqlite:PATH or postgres://HOST/NAME.",
            );
            return None;
        };
        let has_password = parsed.password().is_some()
            || parsed.query_pairs().any(|(key, _)| key.eq_ignore_ascii_case("password"));
        if from_file && has_password {
            self.wrong(
                &["database", "url"],
                "this URL holds a password, and a credential is not kept in this file",
                "Write the URL to a file of its own and name it in 'url_file', or set \
                 PORT_CONTROL_DATABASE__URL; count the password as known.",
            );
            return None;
        }
        Some(Credential::Value(url))
    }

    fn keys(&mut self, raw: RawKeys) -> Option<MasterKeySource> {
        match (raw.master_key_file, raw.passphrase_file, raw.passphrase) {
            (Some(file), None, None) => Some(MasterKeySource::File(self.path(file))),
            (None, Some(file), None) => Some(MasterKeySource::Passphrase(Credential::File(self.path(file)))),
            // A variable beats the file.
            (None, _, Some(Hidden(value))) => Some(MasterKeySource::Passphrase(Credential::Value(value))),
            (None, None, None) => {
                self.wrong(&["keys"], "no master key is named", "Add master_key_file or passphrase_file.");
                None
            }
            _ => {
                self.wrong(&["keys"], "more than one master key is named", "Keep one of them.");
                None
            }
        }
    }

    /// A credential that is given by a variable, or named by a file.
    fn credential(
        &mut self,
        path: &[&str],
        key: &str,
        value: Option<Hidden>,
        file: Option<String>,
    ) -> Option<Credential> {
        match (value, file) {
            (Some(Hidden(value)), _) => Some(Credential::Value(value)),
            (None, Some(file)) => Some(Credential::File(self.path(file))),
            (None, None) => {
                self.wrong(path, format!("'{key}_file' is missing"), format!("Add '{key}_file'."));
                None
            }
        }
    }

    fn engine(&mut self, kind: EngineKind, vault: Option<RawVault>) -> Option<EngineConfig> {
        match (kind, vault) {
            (EngineKind::Embedded, None) => Some(EngineConfig::Embedded),
            (EngineKind::Vault, Some(vault)) => self.vault(vault).map(|it| EngineConfig::Vault(Box::new(it))),
            (EngineKind::Embedded, Some(_)) => {
                self.wrong(
                    &["engine", "vault"],
                    "the engine is 'embedded', yet [engine.vault] is there",
                    "Take [engine.vault] out, or set kind = \"vault\".",
                );
                None
            }
            (EngineKind::Vault, None) => {
                self.wrong(&["engine", "kind"], "[engine.vault] is missing", "Add [engine.vault] with auth.");
                None
            }
        }
    }

    fn vault(&mut self, raw: RawVault) -> Option<VaultConfig> {
        let at = &["engine", "vault", "address"];
        if raw.address.is_none() {
            self.wrong(at, "'address' is missing", "Add 'address', or set VAULT_ADDR.");
        }
        let address = raw.address.as_ref().and_then(|text| self.url(at, text));
        let max_versions = raw.max_versions.unwrap_or(10);
        if max_versions == 0 {
            let path = &["engine", "vault", "max_versions"];
            self.wrong(path, "no version would be kept", "Write 1 or more; 10 is the default.");
        }
        let auth = self.auth(raw.auth);
        Some(VaultConfig {
            address: address?,
            ca_file: raw.ca_file.map(|it| self.path(it)),
            namespace: raw.namespace,
            mount: raw.mount.unwrap_or_else(|| "port-control".to_owned()),
            max_versions,
            auth: auth?,
        })
    }

    fn auth(&mut self, raw: RawAuth) -> Option<VaultAuth> {
        let at = ["engine", "vault", "auth"];
        let mount = |default: &str| raw.mount.clone().unwrap_or_else(|| default.to_owned());
        match raw.method {
            AuthMethod::AppRole => {
                let mount = mount("approle");
                let role_id = self.needed(&at, "role_id", raw.role_id);
                let secret_id = self.credential(&at, "secret_id", raw.secret_id, raw.secret_id_file);
                Some(VaultAuth::AppRole { mount, role_id: role_id?, secret_id: secret_id? })
            }
            AuthMethod::Kubernetes => {
                let mount = mount("kubernetes");
                let token_file = self.path(raw.token_file.unwrap_or_else(|| POD_TOKEN.to_owned()));
                let role = self.needed(&at, "role", raw.role)?;
                Some(VaultAuth::Kubernetes { mount, role, token_file })
            }
            AuthMethod::Jwt => {
                let mount = mount("jwt");
                let role = self.needed(&at, "role", raw.role);
                let token_file = self.needed(&at, "token_file", raw.token_file);
                Some(VaultAuth::Jwt { mount, role: role?, token_file: self.path(token_file?) })
            }
            AuthMethod::Token => {
                self.credential(&at, "token", raw.token, raw.token_file).map(VaultAuth::Token)
            }
        }
    }

    fn needed(&mut self, path: &[&str], key: &str, value: Option<String>) -> Option<String> {
        if value.is_none() {
            self.wrong(path, format!("'{key}' is missing"), format!("Add '{key}'."));
        }
        value
    }

    fn administrators(&mut self, texts: &[String], providers: &[RawProvider]) -> Vec<AdministratorGroup> {
        if texts.is_empty() {
            self.wrong(
                &["administrators"],
                "nobody could apply anything",
                "Name at least one group as PROVIDER/GROUP-ID.",
            );
        }
        let mut groups = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let index = index.to_string();
            let path = ["administrators", index.as_str()];
            match text.parse::<AdministratorGroup>() {
                Err(message) => self.wrong(&path, message, "Write for example keycloak/it."),
                Ok(group) if !providers.iter().any(|it| it.name.as_str() == group.provider) => {
                    let names: Vec<&str> = providers.iter().map(|it| it.name.as_str()).collect();
                    let remedy = match nearest(&group.provider, names.iter().copied()) {
                        Some(meant) => format!("Did you mean '{meant}'?"),
                        None => format!("The providers are: {}.", names.join(", ")),
                    };
                    let shown = group.provider.escape_debug().to_string();
                    self.wrong(&path, format!("there is no provider '{shown}'"), remedy);
                }
                Ok(group) => groups.push(group),
            }
        }
        groups
    }

    fn providers(&mut self, raw: Vec<RawProvider>) -> Vec<ProviderConfig> {
        if raw.is_empty() {
            self.wrong(&["providers"], "nobody could sign in", "Add [[providers]] with an issuer.");
        }
        let mut providers: Vec<ProviderConfig> = Vec::new();
        for (index, it) in raw.into_iter().enumerate() {
            let index = index.to_string();
            if providers.iter().any(|known| known.name == it.name) {
                let path = ["providers", index.as_str(), "name"];
                self.wrong(&path, format!("there are two providers '{}'", it.name), "Rename one of them.");
            }
            providers.push(self.provider(&index, it));
        }
        providers
    }

    fn provider(&mut self, index: &str, it: RawProvider) -> ProviderConfig {
        self.url(&["providers", index, "issuer"], &it.issuer);
        let scopes = it.scopes.unwrap_or_else(|| ["openid", "profile", "email"].map(String::from).to_vec());
        if !scopes.iter().any(|scope| scope == "openid") {
            let path = ["providers", index, "scopes"];
            self.wrong(&path, "'openid' is not among the scopes", "Add \"openid\".");
        }
        let client_secret = match (it.client_secret, it.client_secret_file) {
            (Some(Hidden(value)), _) => Some(Credential::Value(value)),
            (None, Some(file)) => Some(Credential::File(self.path(file))),
            (None, None) => None,
        };
        ProviderConfig {
            name: it.name,
            issuer: it.issuer,
            client_id: it.client_id,
            client_secret,
            groups_claim: it.groups_claim.unwrap_or_else(|| "groups".to_owned()),
            name_claim: it.name_claim.unwrap_or_else(|| "name".to_owned()),
            scopes,
            email_domains: it.email_domains,
            acr: it.acr,
            required_acr: it.required_acr,
            revalidate: it.revalidate,
        }
    }

    fn clusters(&mut self, raw: BTreeMap<Name, RawCluster>) -> BTreeMap<Name, Access> {
        let mut clusters = BTreeMap::new();
        for (name, it) in raw {
            let access = match (it.kubeconfig, it.in_cluster, it.directory) {
                (Some(path), false, None) => {
                    Access::Kubeconfig { path: self.path(path), context: it.context }
                }
                (None, true, None) if it.context.is_none() => Access::InCluster,
                (None, false, Some(path)) if it.context.is_none() => Access::Directory(self.path(path)),
                _ => {
                    self.wrong(
                        &["clusters", name.as_str()],
                        format!("how the cluster '{name}' is reached is not clear"),
                        "Set exactly one of kubeconfig (with context), in_cluster = true, directory.",
                    );
                    continue;
                }
            };
            clusters.insert(name, access);
        }
        clusters
    }

    fn webhooks(&mut self, raw: Vec<RawWebhook>) -> Vec<WebhookConfig> {
        let mut webhooks = Vec::new();
        for (index, it) in raw.into_iter().enumerate() {
            let index = index.to_string();
            let url = self.url(&["webhooks", &index, "url"], &it.url);
            let secret = self.credential(&["webhooks", &index], "secret", it.secret, it.secret_file);
            if let (Some(url), Some(secret)) = (url, secret) {
                webhooks.push(WebhookConfig { url, secret });
            }
        }
        webhooks
    }

    fn rotators(&mut self, raw: Vec<RawRotator>) -> BTreeMap<Name, WebhookConfig> {
        let mut rotators = BTreeMap::new();
        for (index, it) in raw.into_iter().enumerate() {
            let index = index.to_string();
            let url = self.url(&["rotators", &index, "url"], &it.url);
            let secret = self.credential(&["rotators", &index], "secret", it.secret, it.secret_file);
            if rotators.contains_key(&it.name) {
                let message = format!("there are two rotators '{}'", it.name);
                self.wrong(&["rotators", &index, "name"], message, "Keep one.");
            }
            if let (Some(url), Some(secret)) = (url, secret) {
                rotators.insert(it.name, WebhookConfig { url, secret });
            }
        }
        rotators
    }

    /// The rule of signed notes: no white space, no plus.
    fn log(&mut self, raw: RawLog, public_url: Option<&Url>) -> LogConfig {
        let origin = raw.origin.unwrap_or_else(|| public_url.map(default_origin).unwrap_or_default());
        let bad = origin.contains(|c: char| c.is_whitespace() || c == '+') || origin.contains("://");
        if bad || (origin.is_empty() && public_url.is_some()) {
            self.wrong(
                &["log", "origin"],
                "this cannot name a log",
                "Write host and path without scheme, such as port-control.example.com/log.",
            );
        }
        let retention = self.retention(raw.retention.as_deref());
        LogConfig { origin, public: raw.public, retention, pin: None }
    }

    /// A year that is audited, and a month for whoever audits it.
    fn retention(&mut self, text: Option<&str>) -> Duration {
        parse_duration(text.unwrap_or("400d")).unwrap_or_else(|message| {
            self.wrong(&["log", "retention"], message, "Write for example 400d.");
            Duration::ZERO
        })
    }

    fn sessions(&mut self, raw: &RawSessions) -> SessionConfig {
        let idle = self.span("idle", raw.idle.as_deref().unwrap_or("12h"));
        let absolute = self.span("absolute", raw.absolute.as_deref().unwrap_or("7d"));
        if idle > absolute {
            self.wrong(&["sessions", "idle"], "'idle' is longer than 'absolute'", "Make it shorter.");
        }
        SessionConfig { idle, absolute }
    }

    fn span(&mut self, key: &str, text: &str) -> Duration {
        match parse_duration(text) {
            Ok(span) if !span.is_zero() => span,
            Ok(_) => {
                self.wrong(&["sessions", key], "nobody could stay signed in", "Write for example 12h.");
                Duration::ZERO
            }
            Err(message) => {
                self.wrong(&["sessions", key], message, "Write for example 12h.");
                Duration::ZERO
            }
        }
    }
}

fn default_origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{host}{port}{}", url.path().trim_end_matches('/'))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
