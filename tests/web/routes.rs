//! Every route that the server has: those of the OpenAPI document, and those that the source of the API
//! and of the pages adds by hand. A new one is here without being told.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use port_control::api::{self, public};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rules::source::shipped;

/// One method of one address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// `GET`, `POST` or `DELETE`.
    pub method: String,
    /// As routes are written: `/requests/{id}`.
    pub path: String,
    /// Whether it answers with a page.
    pub is_page: bool,
}

impl Route {
    /// Its method.
    pub fn method(&self) -> Method {
        self.method.parse().unwrap_or(Method::GET)
    }

    /// Whether it may change something.
    pub fn changes(&self) -> bool {
        self.method != "GET"
    }

    fn is_in(&self, list: &[(&str, &str)]) -> bool {
        list.contains(&(self.method.as_str(), self.path.as_str()))
    }

    /// Whether anybody may call it.
    pub fn is_public(&self) -> bool {
        self.is_in(public::ROUTES) || self.is_in(public::PAGES)
    }

    /// Whether connections call it, by tokens of their own, and nobody else.
    pub fn is_of_a_connection(&self) -> bool {
        self.path.starts_with("/scim/v2/")
    }

    /// Whether anybody may call it where the log is public.
    pub fn is_of_the_log(&self) -> bool {
        self.is_in(public::LOG)
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// The OpenAPI document.
pub fn document() -> Value {
    api::document()
}

/// What the OpenAPI document describes.
pub fn described() -> Result<BTreeSet<Route>> {
    let document = document();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().context("no paths")? {
        for method in item.as_object().context("no methods")?.keys() {
            found.insert(Route { method: method.to_uppercase(), path: path.clone(), is_page: false });
        }
    }
    Ok(found)
}

/// What the source routes by hand: pages, probes, the log's tiles.
pub fn by_hand() -> Result<BTreeSet<Route>> {
    let mut found = BTreeSet::new();
    for file in shipped()? {
        let is_page = file.path.starts_with("src/dashboard/");
        if !is_page && !file.path.starts_with("src/api/") {
            continue;
        }
        let text = file.text();
        for (at, call) in text.match_indices(".route(") {
            let (path, methods) = arguments(&text[at + call.len()..])
                .with_context(|| format!("a route of {} cannot be read", file.path))?;
            for method in methods_of(&methods) {
                found.insert(Route { method, path: path.clone(), is_page });
            }
        }
    }
    ensure!(found.len() > 10, "only {} routes were found in the source", found.len());
    Ok(found)
}

/// All of them.
pub fn all() -> Result<Vec<Route>> {
    let mut all = described()?;
    for route in by_hand()? {
        // The document has placeholders without the star of a whole rest.
        let plain = Route { path: route.path.replace("{*", "{"), is_page: false, ..route.clone() };
        if !all.contains(&plain) {
            all.insert(route);
        }
    }
    Ok(all.into_iter().collect())
}

/// The path and what stands for its methods, of `"PATH", METHODS)`.
fn arguments(text: &str) -> Option<(String, String)> {
    let rest = text.trim_start().strip_prefix('"')?;
    let (path, rest) = rest.split_once('"')?;
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth < 0
    })?;
    Some((path.to_owned(), rest[..end].to_owned()))
}

fn methods_of(text: &str) -> Vec<String> {
    let all = ["get", "post", "put", "patch", "delete"];
    let has = |method: &&str| text.split(['.', ',', ' ']).any(|call| call.starts_with(&format!("{method}(")));
    let found: Vec<String> = all.iter().filter(|method| has(method)).map(|it| it.to_uppercase()).collect();
    if found.is_empty() { vec!["GET".to_owned()] } else { found }
}

/// What stands in the addresses of a test: things of Dana's, so that each is there.
pub struct Example {
    /// Dana.
    pub person: String,
    /// Her session.
    pub session: String,
    /// Her pending request.
    pub request: String,
    /// A login that waits for a click.
    pub login: String,
}

impl Example {
    /// The address of a route with these in it.
    pub fn fill(&self, path: &str) -> Result<String> {
        let mut filled = path.to_owned();
        for (name, value) in [
            ("application", "reports"),
            ("environment", "sandbox"),
            ("name", if path.contains("/deliveries/") { "reports-production" } else { "DATABASE_URL" }),
            ("person", &self.person),
            ("session", &self.session),
            ("login", &self.login),
            (
                "id",
                if path.contains("/people/") || path.contains("/leavers/") {
                    &self.person
                } else {
                    &self.request
                },
            ),
            ("provider", "dev"),
            ("connection", "okta"),
            ("*rest", "nothing"),
            ("lease", "lea_00000000000000000000000000000000"),
            ("hold", "hld_00000000000000000000000000000000"),
            ("announcement", "xpt_00000000000000000000000000000000"),
            ("task", "rot_00000000000000000000000000000000"),
            ("level", "0"),
            ("path", "000.p/1"),
            ("*path", "000.p/1"),
            ("index", "0"),
        ] {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        ensure!(!filled.contains('{'), "the test does not know what to put into {path}");
        if path == "/audit/v1/consistency" {
            filled.push_str("?from=1");
        }
        Ok(filled)
    }
}

/// A body that the endpoint would take.
pub fn body(path: &str) -> Value {
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "apply" | "plan" => json!({ "documents": [] }),
        "versions" => json!({ "encoding": "utf8", "value": "hunter2-value" }),
        "rollback" => json!({ "to": 1 }),
        "suspend" | "resume" | "deactivate" | "reactivate" | "sign-out" | "forget" | "release" | "reject"
        | "close" | "disable" | "done" | "unwaive" | "withdraw" => {
            json!({ "reason": "a test" })
        }
        "leases" => json!({ "at": "reports/sandbox/reader" }),
        "renew" => json!({ "for": "1h" }),
        "waive" => json!({ "reason": "a test", "until": "2099-01-01" }),
        "confirm" if path.contains("/rotation/") => {
            json!({ "waiver": "wvr_00000000000000000000000000000000" })
        }
        "pause" => json!({ "for": "1h", "reason": "a test" }),
        "requests" => {
            json!({ "action": "reveal", "at": "reports/production", "for": "1h", "reason": "INC-123" })
        }
        // Of nobody: whoever asks has no wish to be confirmed.
        "confirm" => json!({ "code": "c", "verifier": "v" }),
        "step-ups" => {
            json!({ "challenge": "c".repeat(43), "port": 50_000, "state": "s".repeat(22), "max_age": 60 })
        }
        "scim-connections" => json!({ "name": "okta", "provider": "dev", "link": "externalId=sub" }),
        "expected" => json!({ "number": 1, "until": "2100-01-01T00:00:00Z", "reason": "a test" }),
        "holds" => json!({ "person": "all", "reason": "a test" }),
        _ => json!({}),
    }
}
