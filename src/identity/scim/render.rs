//! Resources as they are answered, and what the service provider says of itself.

use serde_json::{Map, Value, json};

use super::{
    filter::LONGEST,
    query::MOST,
    schema::{ENTERPRISE, GROUP, PEOPLE, Schema, TEAMS, USER},
};
use crate::base::Timestamp;

/// What is said about a resource beside its attributes.
pub struct Meta<'a> {
    /// `User` or `Group`.
    pub kind: &'static str,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// Its entity tag.
    pub etag: &'a str,
    /// Its address.
    pub location: &'a str,
}

/// A resource.
pub fn resource(id: &str, schemas: &[&str], mut body: Map<String, Value>, meta: &Meta<'_>) -> Value {
    body.insert("schemas".to_owned(), json!(schemas));
    body.insert("id".to_owned(), id.into());
    body.insert(
        "meta".to_owned(),
        json!({
            "resourceType": meta.kind,
            "created": meta.created.to_string(),
            "lastModified": meta.changed.to_string(),
            "version": meta.etag,
            "location": meta.location,
        }),
    );
    Value::Object(body)
}

/// Which attributes are answered (RFC 7644, section 3.9).
#[derive(Clone, Debug, Default)]
pub struct Projection {
    /// These alone, where any are named.
    only: Vec<String>,
    /// All but these.
    but: Vec<String>,
}

impl Projection {
    /// From lists separated by commas. What a schema's URN stands before is the same without.
    #[must_use]
    pub fn new(only: Option<&str>, but: Option<&str>) -> Self {
        let names = |list: Option<&str>| -> Vec<String> {
            let names = list.unwrap_or_default().split(',').map(str::trim).filter(|it| !it.is_empty());
            names.take(100).map(|name| plain(name).to_ascii_lowercase()).collect()
        };
        Self { only: names(only), but: names(but) }
    }

    /// Whether an attribute of that name is answered at all.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        let is_about = |it: &String| it == name || it.split('.').next() == Some(name);
        let is_out = self.but.iter().any(|it| it == name);
        !is_out && (self.only.is_empty() || self.only.iter().any(is_about))
    }

    /// What is left of a resource. `id` and `schemas` always are.
    #[must_use]
    pub fn of(&self, resource: Value, schema: &Schema) -> Value {
        let Value::Object(all) = resource else { return resource };
        if self.only.is_empty() && self.but.is_empty() {
            return Value::Object(all);
        }
        let mut left = Map::new();
        for (name, value) in all {
            if name == "id" || name == "schemas" {
                left.insert(name, value);
            } else if let Some(urn) = schema.extension(&name) {
                let prefix = format!("{}:", urn.to_ascii_lowercase());
                if let Some(value) = self.extension(&prefix, value) {
                    left.insert(name, value);
                }
            } else if let Some(value) = self.part(&name.to_ascii_lowercase(), value) {
                left.insert(name, value);
            }
        }
        Value::Object(left)
    }

    fn extension(&self, prefix: &str, value: Value) -> Option<Value> {
        let urn = prefix.trim_end_matches(':');
        if self.only.iter().any(|it| it == urn) {
            return Some(value);
        }
        if self.but.iter().any(|it| it == urn) {
            return None;
        }
        let Value::Object(inner) = value else { return None };
        let left: Map<String, Value> = inner
            .into_iter()
            .filter_map(|(name, value)| {
                let path = format!("{prefix}{}", name.to_ascii_lowercase());
                Some((name, self.part(&path, value)?))
            })
            .collect();
        (!left.is_empty()).then_some(Value::Object(left))
    }

    /// What is left of an attribute.
    fn part(&self, path: &str, value: Value) -> Option<Value> {
        let inside = |list: &[String]| -> Vec<String> {
            let parts = list.iter().filter_map(|it| it.strip_prefix(path)?.strip_prefix('.'));
            parts.map(str::to_owned).collect()
        };
        if self.but.iter().any(|it| it == path) {
            return None;
        }
        let but = inside(&self.but);
        if self.only.is_empty() || self.only.iter().any(|it| it == path) {
            return Some(without(value, |name| !but.iter().any(|it| it == name)));
        }
        let only = inside(&self.only);
        (!only.is_empty()).then(|| without(value, |name| only.iter().any(|it| it == name)))
    }
}

/// A name without the URN of the schema of its resource.
fn plain(name: &str) -> &str {
    let core = [USER, GROUP].into_iter().find_map(|urn| {
        let head = name.get(..urn.len())?;
        name.get(urn.len()..)?.strip_prefix(':').filter(|_| head.eq_ignore_ascii_case(urn))
    });
    core.unwrap_or(name)
}

/// The parts that are kept, of an object or of each in a list.
fn without(value: Value, keep: impl Fn(&str) -> bool + Copy) -> Value {
    match value {
        Value::Object(parts) => {
            Value::Object(parts.into_iter().filter(|(name, _)| keep(&name.to_ascii_lowercase())).collect())
        }
        Value::Array(items) => items.into_iter().map(|item| without(item, keep)).collect(),
        other => other,
    }
}

/// `/ServiceProviderConfig` (RFC 7643, section 5).
#[must_use]
pub fn service_provider(base: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": format!(
                "The connection's token, made by an administrator. Filters have at most {LONGEST} bytes."
            ),
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") },
    })
}

/// `/ResourceTypes` (section 6).
#[must_use]
pub fn resource_types(base: &str) -> Vec<Value> {
    let of = |name: &str, endpoint: &str, about: &str, schema: &str, extensions: Value| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": name,
            "name": name,
            "endpoint": endpoint,
            "description": about,
            "schema": schema,
            "schemaExtensions": extensions,
            "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{name}") },
        })
    };
    vec![
        of("User", "/Users", "People.", USER, json!([{ "schema": ENTERPRISE, "required": false }])),
        of("Group", "/Groups", "Groups of people.", GROUP, json!([])),
    ]
}

/// `/Schemas` (section 7).
#[must_use]
pub fn schemas(base: &str) -> Vec<Value> {
    let mut all: Vec<Value> = [PEOPLE, TEAMS].iter().flat_map(Schema::described).collect();
    for one in &mut all {
        let id = one["id"].as_str().unwrap_or_default().to_owned();
        one["schemas"] = json!(["urn:ietf:params:scim:schemas:core:2.0:Schema"]);
        one["meta"] = json!({ "resourceType": "Schema", "location": format!("{base}/Schemas/{id}") });
    }
    all
}
