//! OpenBao: a KV v2 mount, a policy and an AppRole of its own for each test.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Peer, Private, answer, needed, unique, variable};

/// A server that speaks Vault's API, by its root token.
#[derive(Clone)]
pub struct OpenBao {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    /// May do everything.
    pub root_token: String,
    http: reqwest::Client,
}

/// A KV v2 mount of one test's own, and who may use it.
#[derive(Clone, Debug)]
pub struct Mount {
    /// The mount's path, without slashes around it.
    pub path: String,
    /// The name of the policy that `role` has.
    pub policy: String,
    /// May use this mount and nothing else.
    pub role: AppRole,
}

/// What signs in at `auth/approle/login`.
#[derive(Clone)]
pub struct AppRole {
    /// Its name below `auth/approle/role`.
    pub name: String,
    pub role_id: String,
    pub secret_id: String,
}

impl std::fmt::Debug for AppRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppRole").field("name", &self.name).finish_non_exhaustive()
    }
}

impl OpenBao {
    pub(super) fn from_env() -> Option<Self> {
        let address = variable("PEERS_OPENBAO_ADDRESS")?;
        Some(Self::new(address, needed("PEERS_OPENBAO_ROOT_TOKEN")))
    }

    fn new(address: String, root_token: String) -> Self {
        Self { address, root_token, http: super::http(None).expect("an HTTP client without options") }
    }

    /// A server of the test's own, to be killed, sealed or made to hang. Its data are on disk, and it
    /// comes back unsealed.
    pub async fn start_private() -> Result<Private<Self>> {
        Private::start().await
    }

    /// A fresh KV v2 mount, usable by an AppRole with the least policy that Port Control needs there.
    pub async fn mount(&self) -> Result<Mount> {
        self.mount_with(least_policy).await
    }

    /// A fresh KV v2 mount, with the policy that `policy` gives for the mount's path.
    pub async fn mount_with(&self, policy: impl FnOnce(&str) -> String) -> Result<Mount> {
        let path = unique("kv");
        let kind = json!({ "type": "kv", "options": { "version": "2" } });
        self.call(Method::POST, &format!("sys/mounts/{path}"), Some(kind)).await?;
        self.settled(&path).await?;
        self.set_policy(&path, &policy(&path)).await?;
        let role = self.app_role(&path, 3600).await?;
        Ok(Mount { policy: path.clone(), role, path })
    }

    /// A KV v2 mount refuses everything until it has prepared itself, some milliseconds later.
    async fn settled(&self, mount: &str) -> Result<()> {
        let config = format!("{mount}/config");
        let look = async || self.call(Method::GET, &config, None).await.ok();
        super::wait_for("the KV mount", std::time::Duration::from_secs(10), look).await.map(drop)
    }

    /// Writes a policy; what it takes away is gone for tokens that are out already.
    pub async fn set_policy(&self, name: &str, text: &str) -> Result<()> {
        self.call(Method::PUT, &format!("sys/policies/acl/{name}"), Some(json!({ "policy": text })))
            .await
            .map(drop)
    }

    /// An AppRole with one policy, whose tokens live for so many seconds unless they are renewed.
    pub async fn app_role(&self, policy: &str, token_seconds: u32) -> Result<AppRole> {
        self.enable_approle().await?;
        let name = unique("role");
        let role = format!("auth/approle/role/{name}");
        let body = json!({ "token_policies": [policy], "token_ttl": token_seconds, "token_type": "service" });
        self.call(Method::POST, &role, Some(body)).await?;
        let id = self.call(Method::GET, &format!("{role}/role-id"), None).await?;
        let secret = self.call(Method::POST, &format!("{role}/secret-id"), Some(json!({}))).await?;
        Ok(AppRole {
            name,
            role_id: text(&id["data"]["role_id"])?,
            secret_id: text(&secret["data"]["secret_id"])?,
        })
    }

    /// All tests share the sign-in method at its usual place; the first one enables it.
    async fn enable_approle(&self) -> Result<()> {
        let enabled = self.call(Method::POST, "sys/auth/approle", Some(json!({ "type": "approle" }))).await;
        match enabled {
            Err(error) if !error.to_string().contains("path is already in use") => Err(error),
            _ => Ok(()),
        }
    }

    /// Signs in and gives the token.
    pub async fn sign_in(&self, role: &AppRole) -> Result<String> {
        let body = json!({ "role_id": role.role_id, "secret_id": role.secret_id });
        let signed_in = self.call(Method::POST, "auth/approle/login", Some(body)).await?;
        text(&signed_in["auth"]["client_token"])
    }

    /// The current version as the server answers it: `data` and `metadata`. `None` where there is none,
    /// or it is deleted.
    pub async fn kv_get(&self, mount: &Mount, path: &str) -> Result<Option<Value>> {
        let path = format!("{}/data/{path}", mount.path);
        let response = self.request(Method::GET, &path, &self.root_token).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer(&path, response).await?["data"].take()))
    }

    /// Writes a version past Port Control, as somebody with a Vault token of her own would.
    pub async fn kv_put(&self, mount: &Mount, path: &str, fields: Value) -> Result<u64> {
        let path = format!("{}/data/{path}", mount.path);
        let written = self.call(Method::POST, &path, Some(json!({ "data": fields }))).await?;
        written["data"]["version"].as_u64().context("a write answers with its version")
    }

    /// Versions, limits and custom metadata of a key. `None` where it never was.
    pub async fn kv_metadata(&self, mount: &Mount, path: &str) -> Result<Option<Value>> {
        let path = format!("{}/metadata/{path}", mount.path);
        let response = self.request(Method::GET, &path, &self.root_token).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer(&path, response).await?["data"].take()))
    }

    /// Seals it: every request is then answered with 503 until it is started again.
    pub async fn seal(&self) -> Result<()> {
        self.call(Method::PUT, "sys/seal", None).await.map(drop)
    }

    /// Any request below `/v1/` as root, whose answer has to be a success.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let what = format!("{method} {path}");
        let mut request = self.request(method, path, &self.root_token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| what.clone())?;
        answer(&what, response).await
    }

    /// A request below `/v1/` with any token, to look at the answer oneself.
    pub fn request(&self, method: Method, path: &str, token: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/v1/{path}", self.address)).header("X-Vault-Token", token)
    }
}

/// What Port Control does at a mount of its own, and nothing more.
pub fn least_policy(mount: &str) -> String {
    format!(
        r#"
path "{mount}/data/*" {{ capabilities = ["create", "read", "update", "patch", "delete"] }}
path "{mount}/metadata/*" {{ capabilities = ["create", "read", "update", "patch", "delete", "list"] }}
path "{mount}/delete/*" {{ capabilities = ["update"] }}
path "{mount}/undelete/*" {{ capabilities = ["update"] }}
path "{mount}/destroy/*" {{ capabilities = ["update"] }}
path "auth/token/lookup-self" {{ capabilities = ["read"] }}
path "auth/token/renew-self" {{ capabilities = ["update"] }}
path "sys/capabilities-self" {{ capabilities = ["update"] }}
"#
    )
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("a text is missing, there is {value}"))?.to_owned())
}

impl Peer for OpenBao {
    const NAME: &'static str = "openbao";
    const PROGRAM: &'static str = "PEERS_OPENBAO_BIN";

    fn open(folder: &Path, port: u16) -> Result<Self> {
        let token = fs::read_to_string(folder.join("root-token"))?;
        Ok(Self::new(format!("http://127.0.0.1:{port}"), token))
    }

    async fn answers(&self) -> bool {
        // Its health is good before the root token that was asked for exists.
        self.call(Method::GET, "auth/token/lookup-self", None).await.is_ok()
    }
}
