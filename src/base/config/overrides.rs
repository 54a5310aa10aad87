//! Variables of the environment that beat the file: `PORT_CONTROL_SECTION__KEY`.

use std::collections::BTreeMap;

use crate::base::{
    SecretValue,
    located::{Entry, Finding, Node, Place, Value},
};

const PREFIX: &str = "PORT_CONTROL_";

/// What Vault's own tools call things; they hold where neither the file nor a variable of ours says.
const OF_VAULT: &[(&str, &[&str])] = &[
    ("VAULT_ADDR", &["engine", "vault", "address"]),
    ("VAULT_CACERT", &["engine", "vault", "ca_file"]),
    ("VAULT_NAMESPACE", &["engine", "vault", "namespace"]),
    ("VAULT_TOKEN", &["engine", "vault", "auth", "token"]),
];

/// The same for what the tools of S3 call things.
const OF_S3: &[(&str, &[&str])] = &[
    ("AWS_ENDPOINT_URL", &["log", "archive", "endpoint"]),
    ("AWS_REGION", &["log", "archive", "region"]),
    ("AWS_ACCESS_KEY_ID", &["log", "archive", "access_key_id"]),
    ("AWS_SECRET_ACCESS_KEY", &["log", "archive", "secret_access_key"]),
    ("AWS_SESSION_TOKEN", &["log", "archive", "session_token"]),
];

/// Lays the variables over the tree. Sections are separated by two underscores; an item of a list is
/// meant by its index or its name: `PORT_CONTROL_PROVIDERS__KEYCLOAK__CLIENT_SECRET`.
pub(super) fn lay_over(root: &mut Node, env: &BTreeMap<String, String>, findings: &mut Vec<Finding>) {
    for (variable, value) in env {
        let Some(path) = variable.strip_prefix(PREFIX).filter(|it| !is_of_kubernetes(it)) else { continue };
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let node = variable_node(variable, value);
        let place = node.place.clone();
        if let Err(remedy) = set(root, &path, node) {
            findings.push(place.finding("this variable fits nothing in the configuration", remedy));
        }
    }
    if root.get("engine").and_then(|it| it.get("vault")).is_some() {
        of_vault(root, env);
    }
    let archive = root.get("log").and_then(|it| it.get("archive"));
    if archive.and_then(|it| it.get("to")).and_then(Node::text).is_some_and(|to| to.starts_with("s3:")) {
        of_s3(root, env);
    }
}

fn of_s3(root: &mut Node, env: &BTreeMap<String, String>) {
    let has = |root: &Node, key: &str| root.get("log").and_then(|it| it.get("archive")?.get(key)).is_some();
    // One set of credentials: a token of the environment does not belong to a key of the file.
    let has_own =
        ["access_key_id", "secret_access_key_file", "secret_access_key"].iter().any(|key| has(root, key));
    for (variable, path) in OF_S3 {
        let Some(value) = env.get(*variable).filter(|it| !it.is_empty()) else { continue };
        let key = path[path.len() - 1];
        let is_credential = !["endpoint", "region"].contains(&key);
        if has(root, key) || (is_credential && has_own) {
            continue;
        }
        let path: Vec<String> = path.iter().map(|&it| it.to_owned()).collect();
        // The path leads through sections alone, so there is always a place for it.
        let _ = set(root, &path, variable_node(variable, value));
    }
}

/// Kubernetes tells every pod of a Service called `port-control` by variables that look like ours:
/// PORT_CONTROL_SERVICE_HOST, PORT_CONTROL_PORT_443_TCP. No key of ours begins like this.
fn is_of_kubernetes(rest: &str) -> bool {
    rest == "PORT" || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|it| rest.starts_with(it))
}

fn of_vault(root: &mut Node, env: &BTreeMap<String, String>) {
    for (variable, path) in OF_VAULT {
        let Some(value) = env.get(*variable).filter(|it| !it.is_empty()) else { continue };
        let known = path.iter().try_fold(&*root, |node, key| node.get(key)).is_some();
        let by_token = || {
            let auth = root.get("engine").and_then(|it| it.get("vault")).and_then(|it| it.get("auth"));
            auth.is_some_and(|it| {
                it.get("method").and_then(Node::text) == Some("token") && it.get("token_file").is_none()
            })
        };
        if known || (*variable == "VAULT_TOKEN" && !by_token()) {
            continue;
        }
        let path: Vec<String> = path.iter().map(|&it| it.to_owned()).collect();
        // The path leads through sections alone, so there is always a place for it.
        let _ = set(root, &path, variable_node(variable, value));
    }
}

fn variable_node(name: &str, value: &str) -> Node {
    Node {
        place: Place { file: name.into(), line: 0, column: 0 },
        value: Value::Variable(SecretValue::from(value.to_owned())),
    }
}

fn set(node: &mut Node, path: &[String], value: Node) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *node = value;
        return Ok(());
    };
    match &mut node.value {
        Value::Map(entries) => {
            // Names hold hyphens where variables cannot: CLUSTERS__SUPA_CLUSTER is supa-cluster.
            let same = |key: &str| key.to_lowercase().replace('-', "_") == *first;
            if let Some(entry) = entries.iter_mut().find(|it| same(&it.key)) {
                return set(&mut entry.node, rest, value);
            }
            let place = value.place.clone();
            let mut fresh = Node { place: place.clone(), value: Value::Map(Vec::new()) };
            set(&mut fresh, rest, value)?;
            entries.push(Entry { key: first.clone(), place, node: fresh });
            Ok(())
        }
        Value::List(items) => {
            let index = first.parse().ok().or_else(|| items.iter().position(|it| is_named(it, first)));
            match index.and_then(|index: usize| items.get_mut(index)) {
                Some(item) => set(item, rest, value),
                None => Err(format!("The list has no item '{first}'; say its index or its name.")),
            }
        }
        _ if rest.is_empty() => {
            *node = value;
            Ok(())
        }
        _ => Err(format!("What stands before '{first}' has no keys.")),
    }
}

fn is_named(item: &Node, name: &str) -> bool {
    item.get("name").and_then(Node::text).is_some_and(|it| it.replace('-', "_") == name)
}
