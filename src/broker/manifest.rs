//! Secrets as JSON. Buffers that hold values are wiped when dropped.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use super::target::{Found, Manifest, Seen, Spot};
use crate::base::SecretValue;

/// The Secret as `application/json`. `seen` binds a replacement to what was read.
pub(super) fn write(spot: &Spot, manifest: &Manifest, seen: Option<&Seen>) -> Zeroizing<Vec<u8>> {
    let mut metadata = manifest.kept.clone();
    metadata.insert("name".to_owned(), spot.secret.clone().into());
    metadata.insert("namespace".to_owned(), spot.namespace.as_str().into());
    metadata.insert("labels".to_owned(), map(&manifest.labels));
    metadata.insert("annotations".to_owned(), map(&manifest.annotations));
    if let Some(seen) = seen {
        metadata.insert("uid".to_owned(), seen.uid.clone().into());
        metadata.insert("resourceVersion".to_owned(), seen.resource_version.clone().into());
    }
    let head = format!(
        r#"{{"apiVersion":"v1","kind":"Secret","type":"Opaque","metadata":{},"data":{{"#,
        Value::Object(metadata)
    );
    // Written by hand into a buffer that never grows, so that no copy is left behind.
    let length = manifest.data.iter().map(|(key, value)| key.len() + value.len().div_ceil(3) * 4 + 6);
    let mut out = Zeroizing::new(Vec::with_capacity(head.len() + length.sum::<usize>() + 2));
    out.extend_from_slice(head.as_bytes());
    for (n, (key, value)) in manifest.data.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(Zeroizing::new(STANDARD.encode(value.expose())).as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b"}}");
    out
}

fn map(of: &BTreeMap<String, String>) -> Value {
    of.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, Base64>>,
    #[serde(default)]
    immutable: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    resource_version: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    deletion_timestamp: Option<String>,
    finalizers: Option<Value>,
    owner_references: Option<Value>,
}

struct Base64(SecretValue);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_bytes());
        // The decoder's own message would tell characters of the value.
        bytes.map(|it| Self(SecretValue::new(it))).map_err(|_| serde::de::Error::custom("not base64"))
    }
}

/// Reads a Secret from JSON and wipes the JSON; nothing where it is no Secret. Says no more than
/// that, because a parser's message may hold what it stumbled over.
pub(super) fn read(mut text: Vec<u8>) -> Option<Found> {
    let wire = serde_json::from_slice::<Wire>(&text).ok();
    text.zeroize();
    let wire = wire?;
    let mut kept = serde_json::Map::new();
    let others =
        [("finalizers", wire.metadata.finalizers), ("ownerReferences", wire.metadata.owner_references)];
    for (name, value) in others {
        if let Some(value) = value {
            kept.insert(name.to_owned(), value);
        }
    }
    Some(Found {
        seen: Seen { uid: wire.metadata.uid, resource_version: wire.metadata.resource_version },
        immutable: wire.immutable.unwrap_or(false),
        ending: wire.metadata.deletion_timestamp.is_some(),
        manifest: Manifest {
            labels: wire.metadata.labels.unwrap_or_default(),
            annotations: wire.metadata.annotations.unwrap_or_default(),
            data: wire.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect(),
            kept,
        },
    })
}
