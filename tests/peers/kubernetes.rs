//! Kubernetes: etcd and an API server, without controllers. A namespace that is deleted stays
//! `Terminating`, and nobody makes a default ServiceAccount; Secrets and their rights are all there.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Peer, Private, answer, needed, unique, variable};

/// A cluster, by its administrator's token.
#[derive(Clone)]
pub struct Kubernetes {
    /// `https://127.0.0.1:PORT`
    pub url: String,
    /// The certificate authority, PEM.
    pub authority: String,
    /// May do everything.
    pub admin_token: String,
    http: reqwest::Client,
}

impl Kubernetes {
    pub(super) fn from_env() -> Result<Option<Self>> {
        let Some(url) = variable("PEERS_KUBERNETES_URL") else { return Ok(None) };
        let authority = fs::read_to_string(needed("PEERS_KUBERNETES_CA_FILE"))?;
        Self::new(url, authority, needed("PEERS_KUBERNETES_ADMIN_TOKEN")).map(Some)
    }

    fn new(url: String, authority: String, admin_token: String) -> Result<Self> {
        let http = super::http(Some(&authority))?;
        Ok(Self { url, authority, admin_token, http })
    }

    /// A cluster of the test's own, whose API server can be killed or made to hang; its etcd stays.
    pub async fn start_private() -> Result<Private<Self>> {
        Private::start().await
    }

    /// Makes a namespace whose name begins with `prefix`, and gives its name.
    pub async fn create_namespace(&self, prefix: &str) -> Result<String> {
        let name = unique(prefix);
        self.create_namespace_named(&name).await?;
        Ok(name)
    }

    /// Makes a namespace of exactly this name, for a private cluster.
    pub async fn create_namespace_named(&self, name: &str) -> Result<()> {
        let body = json!({ "metadata": { "name": name } });
        self.call(Method::POST, "api/v1/namespaces", Some(body)).await.map(drop)
    }

    /// Makes a ServiceAccount, which may do nothing yet.
    pub async fn create_service_account(&self, namespace: &str, name: &str) -> Result<()> {
        let path = format!("api/v1/namespaces/{namespace}/serviceaccounts");
        self.call(Method::POST, &path, Some(json!({ "metadata": { "name": name } }))).await.map(drop)
    }

    /// The same, and answers with the id that the cluster gave it.
    pub async fn service_account_with_uid(&self, namespace: &str, name: &str) -> Result<String> {
        self.create_service_account(namespace, name).await?;
        let path = format!("api/v1/namespaces/{namespace}/serviceaccounts/{name}");
        let made = self.call(Method::GET, &path, None).await?;
        Ok(made["metadata"]["uid"].as_str().context("an account has a uid")?.to_owned())
    }

    /// Makes a Role of `rules` in a namespace.
    pub async fn create_role(&self, namespace: &str, name: &str, rules: Value) -> Result<()> {
        let body = json!({ "metadata": { "name": name }, "rules": rules });
        self.call(Method::POST, &rbac(namespace, "roles"), Some(body)).await.map(drop)
    }

    /// Gives a Role in `namespace` to a ServiceAccount, which may be of another namespace.
    pub async fn bind_role(&self, namespace: &str, role: &str, account: (&str, &str)) -> Result<()> {
        let body = json!({
            "metadata": { "name": role },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "namespace": account.0, "name": account.1 }],
        });
        self.call(Method::POST, &rbac(namespace, "rolebindings"), Some(body)).await.map(drop)
    }

    /// Takes a Role away again: what was allowed is refused some milliseconds later.
    pub async fn unbind_role(&self, namespace: &str, role: &str) -> Result<()> {
        let path = format!("{}/{role}", rbac(namespace, "rolebindings"));
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    /// A token of a ServiceAccount for the API server itself; 600 seconds at least.
    pub async fn service_account_token(&self, namespace: &str, name: &str, seconds: u32) -> Result<String> {
        self.service_account_token_for(namespace, name, None, seconds).await
    }

    /// The same for an audience, where one is named.
    pub async fn service_account_token_for(
        &self,
        namespace: &str,
        name: &str,
        audience: Option<&str>,
        seconds: u32,
    ) -> Result<String> {
        let path = format!("api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let mut asked = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "expirationSeconds": seconds },
        });
        if let Some(audience) = audience {
            asked["spec"]["audiences"] = json!([audience]);
        }
        let given = self.call(Method::POST, &path, Some(asked)).await?;
        Ok(given["status"]["token"].as_str().context("a TokenRequest answers with a token")?.to_owned())
    }

    /// Writes a kubeconfig that holds `token`, readable by its owner alone.
    pub fn write_kubeconfig(&self, file: &Path, token: &str) -> Result<()> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": {
                "server": self.url,
                "certificate-authority-data": STANDARD.encode(&self.authority),
            }}],
            "users": [{ "name": "test", "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "current-context": "test",
        });
        // YAML understands JSON.
        let mut opened =
            fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(file)?;
        opened.write_all(config.to_string().as_bytes())?;
        Ok(())
    }

    /// Writes a kubeconfig whose owner may do with Secrets what Port Control does, in these namespaces
    /// and nowhere else. The Role is called `port-control` in each.
    pub async fn write_limited_kubeconfig(&self, file: &Path, namespaces: &[&str]) -> Result<()> {
        let home = self.create_namespace("port-control").await?;
        self.create_service_account(&home, "port-control").await?;
        for namespace in namespaces {
            self.create_role(namespace, "port-control", secret_rules()).await?;
            self.bind_role(namespace, "port-control", (&home, "port-control")).await?;
        }
        let token = self.service_account_token(&home, "port-control", 24 * 3600).await?;
        for namespace in namespaces {
            self.allowed(&token, namespace).await?;
        }
        self.write_kubeconfig(file, &token)
    }

    /// The authorizer learns of a new binding by watching, a little after it was made.
    async fn allowed(&self, token: &str, namespace: &str) -> Result<()> {
        let path = secrets(namespace);
        let look = async || {
            let response = self.request(Method::GET, &path, token).send().await.ok()?;
            response.status().is_success().then_some(())
        };
        super::wait_for("the new Role's effect", std::time::Duration::from_secs(10), look).await
    }

    /// A Secret as the cluster has it, its data in base64. `None` where there is none.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Value>> {
        let path = format!("{}/{name}", secrets(namespace));
        let response = self.request(Method::GET, &path, &self.admin_token).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer(&path, response).await.map(Some)
    }

    /// One decoded value of a Secret. `None` where the Secret or the key is missing.
    pub async fn secret_value(&self, namespace: &str, name: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let Some(secret) = self.secret(namespace, name).await? else { return Ok(None) };
        let Some(encoded) = secret["data"][key].as_str() else { return Ok(None) };
        Ok(Some(STANDARD.decode(encoded)?))
    }

    /// Makes a Secret, or meddles with one: the keys given are set, everything else stays.
    pub async fn put_secret(&self, namespace: &str, name: &str, values: &[(&str, &str)]) -> Result<()> {
        let data: serde_json::Map<String, Value> =
            values.iter().map(|(key, value)| ((*key).to_owned(), STANDARD.encode(value).into())).collect();
        if self.secret(namespace, name).await?.is_none() {
            let body = json!({ "metadata": { "name": name }, "data": data });
            return self.call(Method::POST, &secrets(namespace), Some(body)).await.map(drop);
        }
        self.patch_secret(namespace, name, json!({ "data": data })).await
    }

    /// Applies a JSON merge patch to a Secret; null removes.
    pub async fn patch_secret(&self, namespace: &str, name: &str, change: Value) -> Result<()> {
        let path = format!("{}/{name}", secrets(namespace));
        let request = self.request(Method::PATCH, &path, &self.admin_token);
        // Before the body, which brings its own type where there is none yet.
        let request = request.header("content-type", "application/merge-patch+json").json(&change);
        let response = request.send().await?;
        answer(&path, response).await.map(drop)
    }

    /// Deletes a Secret that is there.
    pub async fn delete_secret(&self, namespace: &str, name: &str) -> Result<()> {
        let path = format!("{}/{name}", secrets(namespace));
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    /// Any request as administrator, whose answer has to be a success.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let what = format!("{method} {path}");
        let mut request = self.request(method, path, &self.admin_token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| what.clone())?;
        answer(&what, response).await
    }

    /// A request with any token, to look at the answer oneself.
    pub fn request(&self, method: Method, path: &str, token: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/{path}", self.url)).bearer_auth(token)
    }
}

/// What Port Control's Role allows in a namespace.
pub fn secret_rules() -> Value {
    json!([{
        "apiGroups": [""],
        "resources": ["secrets"],
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
    }, {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["localsubjectaccessreviews"],
        "verbs": ["create"],
    }])
}

fn secrets(namespace: &str) -> String {
    format!("api/v1/namespaces/{namespace}/secrets")
}

fn rbac(namespace: &str, kind: &str) -> String {
    format!("apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{kind}")
}

impl Peer for Kubernetes {
    const NAME: &'static str = "kubernetes";
    const PROGRAM: &'static str = "PEERS_KUBERNETES_BIN";
    const PARTS: &'static [&'static str] = &["etcd", "kube-apiserver"];

    fn open(folder: &Path, port: u16) -> Result<Self> {
        // Written last, so what comes with it is whole.
        fs::metadata(folder.join("tokens.csv"))?;
        let authority = fs::read_to_string(folder.join("ca.crt"))?;
        let token = fs::read_to_string(folder.join("admin-token"))?;
        Self::new(format!("https://127.0.0.1:{port}"), authority, token)
    }

    async fn answers(&self) -> bool {
        let asked = self.request(Method::GET, "readyz", &self.admin_token).send().await;
        asked.is_ok_and(|response| response.status().is_success())
    }
}
