//! The log's pin in a ConfigMap: for replicas in a cluster, whose etcd is not restored with our database.

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};

use super::kubernetes::Kubernetes;
use crate::{
    audit::pin::{Kept, PinPlace},
    base::{Name, config::Access},
};

/// The key in it.
const KEY: &str = "checkpoint";

/// A pin in a ConfigMap. Made where it is not there; others who write to it are noticed by its
/// `resourceVersion`.
pub struct PinConfigMap {
    cluster: Kubernetes,
    namespace: Name,
    name: Name,
}

impl PinConfigMap {
    /// The pin in the cluster that `access` leads to.
    #[must_use]
    pub fn new(access: Access, namespace: Name, name: Name) -> Self {
        Self { cluster: Kubernetes::new(access), namespace, name }
    }

    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }

    fn item(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    fn body(&self, read: Option<&Kept>, note: &str) -> Vec<u8> {
        let mut metadata = json!({
            "name": self.name.as_str(),
            "namespace": self.namespace.as_str(),
            "labels": { "app.kubernetes.io/managed-by": "port-control" },
        });
        if let Some(kept) = read {
            metadata["resourceVersion"] = kept.version.as_str().into();
        }
        let data = json!({ KEY: note });
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data })
            .to_string()
            .into_bytes()
    }

    /// Whether it was done; not where another was faster.
    async fn write(&self, read: Option<&Kept>, note: &str, query: &str) -> Result<bool, String> {
        let (method, uri) = match read {
            Some(_) => (Method::PUT, self.item()),
            None => (Method::POST, self.collection()),
        };
        let body = self.body(read, note);
        match self.cluster.ask(method, format!("{uri}{query}"), body).await {
            Ok(_) => Ok(true),
            // It was changed, made or deleted meanwhile.
            Err((Some(409), _)) => Ok(false),
            Err((Some(404), _)) if read.is_some() => Ok(false),
            Err((_, why)) => Err(why),
        }
    }
}

#[async_trait]
impl PinPlace for PinConfigMap {
    fn name(&self) -> String {
        format!("configmap {}/{}", self.namespace, self.name)
    }

    async fn read(&self) -> Result<Option<Kept>, String> {
        let text = match self.cluster.ask(Method::GET, self.item(), Vec::new()).await {
            Ok(text) => text,
            Err((Some(404), _)) => return Ok(None),
            Err((_, why)) => return Err(why),
        };
        let found: Value = serde_json::from_str(&text).map_err(|_| "it is no ConfigMap".to_owned())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version = text(&found["metadata"]["resourceVersion"]);
        Ok(Some(Kept { note: text(&found["data"][KEY]), version }))
    }

    async fn replace(&self, read: Option<&Kept>, note: &str) -> Result<bool, String> {
        self.write(read, note, "").await
    }

    async fn set_aside(&self) -> Result<Option<String>, String> {
        let Some(kept) = self.read().await? else { return Ok(None) };
        let mut n = 1;
        let aside = loop {
            let name = format!("{}-before-{n}", self.name).parse()?;
            let it = Self { cluster: self.cluster.clone(), namespace: self.namespace.clone(), name };
            if it.write(None, &kept.note, "").await? {
                break it.name();
            }
            n += 1;
        };
        self.cluster.ask(Method::DELETE, self.item(), Vec::new()).await.map_err(|(_, why)| why)?;
        Ok(Some(aside))
    }

    async fn check(&self) -> Result<(), String> {
        let kept = self.read().await?;
        let note = kept.as_ref().map(|it| it.note.clone()).unwrap_or_default();
        self.write(kept.as_ref(), &note, "?dryRun=All").await.map(drop)
    }
}
