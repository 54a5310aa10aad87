//! HTTP to Vault: bounded in time and length, never redirected, and silent about what it carries.

use std::{error::Error, fs, time::Duration};

use axum::body::Bytes;
use http::{HeaderValue, Method, header::CONTENT_TYPE};
use reqwest::{Certificate, Client, Request, redirect::Policy};
use url::Url;
use zeroize::{Zeroize, Zeroizing};

use super::call::{Answer, Call};
use crate::base::{Problem, ProblemKind, Result, config::VaultConfig};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(1);
/// How long one request may take, its connection and answer included.
const REQUEST: Duration = Duration::from_secs(3);
/// A value may be six times as long in JSON, and foreign places hold further fields.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Why there is no answer; in words that never hold one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Not reached, or nothing came in time.
    Silent(String),
    /// What came is no answer that we take.
    Nonsense(String),
}

/// A connection pool to one address, in one namespace.
pub(super) struct Transport {
    client: Client,
    address: Url,
    namespace: Option<HeaderValue>,
}

impl Transport {
    /// Opens nothing yet. reqwest wants a TLS provider to be installed before.
    ///
    /// # Errors
    /// `invalid-configuration` where the CA file or the namespace cannot be used.
    pub(super) fn new(config: &VaultConfig) -> Result<Self> {
        let namespace = config.namespace.as_deref().map(namespace).transpose()?;
        Ok(Self { client: client(config)?, address: config.address.clone(), namespace })
    }

    /// The address, for people.
    pub(super) fn address(&self) -> &str {
        self.address.as_str().trim_end_matches('/')
    }

    /// Sends a call and reads the whole answer, whatever its status.
    pub(super) async fn send(&self, call: Call, token: Option<&str>) -> Result<Answer, Failure> {
        let request = self.request(call, token)?;
        let mut response = self.client.execute(request).await.map_err(|it| failure(&it))?;
        let status = response.status().as_u16();
        if response.status().is_redirection() {
            return Err(Failure::Nonsense("it redirects to another address".to_owned()));
        }
        let mut body = Zeroizing::new(Vec::with_capacity(announced(&response)));
        while let Some(chunk) = response.chunk().await.map_err(|it| failure(&it))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Failure::Nonsense(format!("its answer is longer than {LONGEST_ANSWER} bytes")));
            }
            append(&mut body, &chunk);
        }
        Ok(Answer { status, body })
    }

    fn request(&self, call: Call, token: Option<&str>) -> Result<Request, Failure> {
        let url = self.url(&call).ok_or_else(|| Failure::Nonsense("its address has no path".to_owned()))?;
        let merges = call.method == Method::PATCH;
        let mut request = Request::new(call.method, url);
        let headers = request.headers_mut();
        // Its agent refuses what lacks it, so that a browser cannot be made to ask.
        headers.insert("X-Vault-Request", HeaderValue::from_static("true"));
        if let Some(namespace) = self.namespace.as_ref().filter(|_| call.in_namespace) {
            headers.insert("X-Vault-Namespace", namespace.clone());
        }
        if let Some(token) = token {
            let refused = |_| Failure::Nonsense("the token has characters that no token has".to_owned());
            let mut token = HeaderValue::from_str(token).map_err(refused)?;
            token.set_sensitive(true);
            headers.insert("X-Vault-Token", token);
        }
        if let Some(body) = call.body {
            let kind = if merges { "application/merge-patch+json" } else { "application/json" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            *request.body_mut() = Some(Bytes::from_owner(body).into());
        }
        Ok(request)
    }

    /// Each segment is encoded, so that no name can become a path or a query.
    fn url(&self, call: &Call) -> Option<Url> {
        let mut url = self.address.clone();
        url.path_segments_mut().ok()?.pop_if_empty().push("v1").extend(call.path.split('/'));
        url.set_query(call.query.as_deref().filter(|query| !query.is_empty()));
        Some(url)
    }
}

fn client(config: &VaultConfig) -> Result<Client> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .redirect(Policy::none())
        .referer(false)
        .user_agent("port-control");
    if config.address.scheme() == "http" {
        // On loopback alone: no certificates are needed, and a proxy would see the token.
        builder = builder.no_proxy().tls_certs_only(Vec::new());
    } else if let Some(path) = &config.ca_file {
        let unusable = |why: &str| {
            unusable(format!("the CA file {} cannot be used: {why}", path.display()))
                .remedy("engine.vault.ca_file (or VAULT_CACERT) wants a file of PEM certificates.")
        };
        let pem = fs::read(path).map_err(|error| unusable(&error.to_string()))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|_| unusable("it holds no PEM"))?;
        if authorities.is_empty() {
            return Err(unusable("it holds no certificate"));
        }
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|error| unusable(format!("no client for Vault can be made: {}", cause(&error))))
}

fn namespace(name: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(name).map_err(|_| {
        unusable(format!("'{}' is no namespace of Vault", name.escape_debug()))
            .remedy("engine.vault.namespace (or VAULT_NAMESPACE) is a path of printable ASCII.")
    })
}

fn unusable(detail: String) -> Problem {
    Problem::new(ProblemKind::InvalidConfiguration, detail)
}

fn announced(response: &reqwest::Response) -> usize {
    let length = response.content_length().and_then(|it| usize::try_from(it).ok());
    length.unwrap_or(0).clamp(4096, LONGEST_ANSWER)
}

/// As `extend_from_slice`, but what growing leaves behind is wiped.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    if body.capacity() - body.len() < chunk.len() {
        let mut grown = Vec::with_capacity((body.len() + chunk.len()) * 2);
        grown.extend_from_slice(body);
        body.zeroize();
        **body = grown;
    }
    body.extend_from_slice(chunk);
}

fn failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::Silent("nothing came in time".to_owned());
    }
    Failure::Silent(cause(error))
}

/// The innermost cause: the system's, the TLS library's or the HTTP parser's own words, none of which
/// repeat what was sent or received.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::{Credential, VaultAuth};

    fn config(address: &str) -> VaultConfig {
        VaultConfig {
            address: address.parse().unwrap(),
            ca_file: None,
            namespace: Some("team/".to_owned()),
            mount: "kv".to_owned(),
            max_versions: 10,
            auth: VaultAuth::Token(Credential::Value("hunter2".to_owned().into())),
        }
    }

    fn request(address: &str, path: &str) -> Request {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let transport = Transport::new(&config(address)).unwrap();
        let call = Call::new(Method::POST, path, Zeroizing::new(b"{}".to_vec()));
        transport.request(call, Some("hunter2")).ok().unwrap()
    }

    #[test]
    fn abuse_35_a_name_cannot_become_a_path_or_a_query() {
        let url = request("http://127.0.0.1:1", "kv/data/a?b#c%2Fd é").url().to_string();
        assert_eq!(url, "http://127.0.0.1:1/v1/kv/data/a%3Fb%23c%252Fd%20%C3%A9");
    }

    #[test]
    fn an_address_may_have_a_path_of_its_own() {
        for address in ["http://127.0.0.1:1/vault", "http://127.0.0.1:1/vault/"] {
            assert_eq!(request(address, "sys/health").url().path(), "/vault/v1/sys/health");
        }
    }

    #[test]
    fn the_token_is_never_told_by_debug() {
        let shown = format!("{:?}", request("http://127.0.0.1:1", "sys/health"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut config = config("https://vault.example.com");
        config.ca_file = Some(file.path().to_owned());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let problem = Transport::new(&config).err().unwrap();
        assert!(problem.is(ProblemKind::InvalidConfiguration));
        assert!(problem.detail.contains(&file.path().display().to_string()), "{problem}");
    }

    #[test]
    fn appending_keeps_every_byte() {
        let mut body = Zeroizing::new(Vec::new());
        for chunk in [&b"abc"[..], b"", b"defghijklmnop", b"q"] {
            append(&mut body, chunk);
        }
        assert_eq!(*body, b"abcdefghijklmnopq");
    }
}
