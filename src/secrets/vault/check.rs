//! Whether Vault is reached, unsealed, signed in to, and gives the rights that are needed and no more.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use vaultrs::api::sys::requests::ReadHealthRequest;
use zeroize::Zeroizing;

use super::{
    Vault,
    call::Call,
    place::trim,
    policy::{ForeignPath, Need, OURS, needs, static_role_needs},
};
use crate::{base::Result, secrets::leases::EngineRole};

/// Stands for any secret of ours, in questions about rights.
const SAMPLE: &str = "application/environment/NAME";

/// Paths that Port Control has no business with, each for a power.
const BEYOND: &[(&str, &str)] = &[
    ("sys/policies/acl/port-control", "write policies"),
    ("sys/auth/port-control", "change sign-in methods"),
    ("sys/mounts/port-control", "change mounts"),
    ("sys/audit/port-control", "change audit devices"),
    ("sys/seal", "seal Vault"),
    ("auth/token/create", "make tokens"),
    ("identity/entity", "make entities"),
];

#[derive(Deserialize)]
struct Mounts {
    #[serde(default)]
    secret: BTreeMap<String, Mount>,
}

#[derive(Deserialize)]
struct Mount {
    #[serde(rename = "type")]
    kind: String,
    options: Option<BTreeMap<String, Value>>,
}

pub(super) type Capabilities = BTreeMap<String, Vec<String>>;

impl Vault {
    /// Whether it is reached, signed in to, and gives the rights that are needed, `foreign` places that
    /// files declare outside our own mount included; a line each for what is missing or is more than needed.
    ///
    /// # Errors
    /// `engine-unavailable` where it is not reached or sealed, `engine-fault` where signing in is refused.
    pub async fn check_with(&self, foreign: &[ForeignPath]) -> Result<Vec<String>> {
        self.bounded("a check", self.examine(foreign)).await
    }

    /// What is missing for the static roles that files say give secrets their new values, a line each; nothing is
    /// read or changed by it.
    ///
    /// # Errors
    /// As [`Self::check_with`].
    pub async fn check_static_roles(&self, roles: &[EngineRole]) -> Result<Vec<String>> {
        if roles.is_empty() {
            return Ok(Vec::new());
        }
        let needs = static_role_needs(roles)?;
        let held = self.bounded("a check of static roles", self.capabilities(&needs)).await?;
        let lacks = missing(&needs, &held);
        Ok(lacks.into_iter().map(|line| format!("static roles cannot be rotated: {line}")).collect())
    }

    async fn examine(&self, foreign: &[ForeignPath]) -> Result<Vec<String>> {
        self.health().await?;
        let (mounts, needs) = (self.mounts().await?, needs(&self.config.mount, foreign)?);
        let held = self.capabilities(&needs).await?;
        let mut lines = self.about_mount(&mounts);
        lines.extend(missing(&needs, &held));
        lines.extend(self.beyond(&needs, &held));
        lines.extend(other_mounts(&mounts, &self.config.mount, foreign));
        Ok(lines)
    }

    /// Standbys answer, too: they pass on what they are asked.
    async fn health(&self) -> Result<()> {
        let path = "sys/health";
        let request =
            ReadHealthRequest { standbyok: Some(true), perfstandbyok: Some(true), ..Default::default() };
        // It belongs to no namespace.
        let call = Call::of(&request).map(|call| Call { in_namespace: false, ..call });
        let answer = self.exchange(path, call, None).await?;
        match answer.status {
            503 => Err(self.unavailable(path, "it is sealed; unseal it: vault operator unseal")),
            501 => Err(self.unavailable(path, "it is not initialised")),
            _ if answer.json::<Value>().is_none_or(|it| it.get("sealed").is_none()) => {
                Err(self.nonsense(path, "there is no health in the answer"))
            }
            _ => Ok(()),
        }
    }

    /// The mounts that our token has any right on.
    async fn mounts(&self) -> Result<Mounts> {
        let path = "sys/internal/ui/mounts";
        let make = || {
            let body = Zeroizing::new(Vec::new());
            Some(Call { body: None, ..Call::new(Method::GET, path, body) })
        };
        let answer = self.ask_with(path, make).await?;
        if !answer.is_success() {
            return Err(self.refused(path, &answer));
        }
        answer.data().ok_or_else(|| self.nonsense(path, "there are no mounts in the answer"))
    }

    pub(super) async fn capabilities(&self, needs: &[Need]) -> Result<Capabilities> {
        let path = "sys/capabilities-self";
        let mut paths: Vec<String> = needs.iter().map(|need| sampled(&need.path)).collect();
        paths.extend(BEYOND.iter().map(|(path, _)| (*path).to_owned()));
        paths.push(format!("{}/config", trim(&self.config.mount)));
        let body = json!({ "paths": paths }).to_string().into_bytes();
        let make = || Some(Call::new(Method::POST, path, Zeroizing::new(body.clone())));
        let answer = self.ask_with(path, make).await?;
        if !answer.is_success() {
            return Err(self.refused(path, &answer));
        }
        let mut held: BTreeMap<String, Value> =
            answer.data().ok_or_else(|| self.nonsense(path, "there are no capabilities in the answer"))?;
        // Beside the paths, it says those of the first once more.
        held.retain(|path, _| paths.contains(path));
        Ok(held
            .into_iter()
            .filter_map(|(path, can)| Some((path, serde_json::from_value(can).ok()?)))
            .collect())
    }

    fn about_mount(&self, mounts: &Mounts) -> Vec<String> {
        let name = trim(&self.config.mount);
        let Some(mount) = mounts.secret.get(&format!("{name}/")) else {
            return vec![format!(
                "the mount '{name}' is missing, or nothing is allowed there: vault secrets enable -path={name} -version=2 kv"
            )];
        };
        let version = mount.options.as_ref().and_then(|options| options.get("version"));
        if mount.kind == "kv" && version.and_then(Value::as_str) == Some("2") {
            return Vec::new();
        }
        vec![format!("the mount '{name}' is no KV engine of version 2: vault kv enable-versioning {name}/")]
    }

    fn beyond(&self, needs: &[Need], held: &Capabilities) -> Vec<String> {
        let config = format!("{}/config", trim(&self.config.mount));
        if held.values().any(|can| can.iter().any(|it| it == "root")) {
            return vec!["the token is a root token, which may do everything: use a role with the policy of `port-control vault-policy`".to_owned()];
        }
        let powers = BEYOND.iter().map(|(path, power)| ((*path).to_owned(), *power));
        let powers = powers.chain([(config, "change the mount's own settings")]);
        let mut lines: Vec<String> = powers
            .filter(|(path, _)| held.get(path).is_some_and(|can| allows(can)))
            .map(|(path, power)| format!("it may {power} ({path}), which is not needed"))
            .collect();
        for need in
            needs.iter().filter(|need| OURS.iter().any(|(part, _)| need.path.contains(&format!("/{part}/"))))
        {
            let can = held.get(&sampled(&need.path)).map(Vec::as_slice).unwrap_or_default();
            let more: Vec<&str> = can
                .iter()
                .map(String::as_str)
                .filter(|it| *it != "deny" && !need.capabilities.contains(it))
                .collect();
            if !more.is_empty() {
                lines.push(format!("it may {} at {}, which is not needed", more.join(", "), need.path));
            }
        }
        lines
    }
}

fn sampled(path: &str) -> String {
    path.strip_suffix('*').map_or_else(|| path.to_owned(), |start| format!("{start}{SAMPLE}"))
}

fn allows(capabilities: &[String]) -> bool {
    !capabilities.is_empty() && !capabilities.iter().any(|it| it == "deny")
}

pub(super) fn missing(needs: &[Need], held: &Capabilities) -> Vec<String> {
    let mut lines = Vec::new();
    for need in needs {
        let can = held.get(&sampled(&need.path)).map(Vec::as_slice).unwrap_or_default();
        let has = |wanted: &&&str| can.iter().any(|it| it == **wanted || it == "root");
        let lacks: Vec<&str> = need.capabilities.iter().filter(|wanted| !has(wanted)).copied().collect();
        if !lacks.is_empty() {
            lines.push(format!(
                "it may not {} at {}: see `port-control vault-policy`",
                lacks.join(", "),
                need.path
            ));
        }
    }
    lines
}

/// Everyone has a cubbyhole; the others without secrets are Vault's own.
fn other_mounts(mounts: &Mounts, ours: &str, foreign: &[ForeignPath]) -> Vec<String> {
    let needed = |name: &str| name == trim(ours) || foreign.iter().any(|it| name == trim(&it.mount));
    let own = ["cubbyhole", "identity", "system", "ns_cubbyhole", "ns_identity", "ns_system"];
    let others =
        mounts.secret.iter().filter(|(name, mount)| !needed(trim(name)) && !own.contains(&&*mount.kind));
    others
        .map(|(name, _)| {
            format!("it has rights in the mount '{}', where no file declares a secret", trim(name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(path: &str, can: &[&str]) -> Capabilities {
        BTreeMap::from([(path.to_owned(), can.iter().map(|&it| it.to_owned()).collect())])
    }

    #[test]
    fn what_is_missing_is_named_with_its_path() {
        let needs = [Need { path: "kv/data/*".to_owned(), capabilities: &["read", "update"] }];
        let path = "kv/data/application/environment/NAME";
        assert_eq!(
            missing(&needs, &held(path, &["read", "list"])),
            ["it may not update at kv/data/*: see `port-control vault-policy`"]
        );
        assert!(missing(&needs, &held(path, &["root"])).is_empty());
        assert_eq!(missing(&needs, &held(path, &["deny"])).len(), 1);
        assert_eq!(missing(&needs, &Capabilities::new()).len(), 1);
    }

    #[test]
    fn other_mounts_are_named_where_no_file_declares_a_secret() {
        let text = r#"{"secret":{"kv/":{"type":"kv"},"cubbyhole/":{"type":"cubbyhole"},"a/":{"type":"kv"},"b/":{"type":"database"}}}"#;
        let mounts: Mounts = serde_json::from_str(text).unwrap();
        let foreign = [ForeignPath { mount: "/a".to_owned(), path: "x".to_owned(), writable: false }];
        assert_eq!(
            other_mounts(&mounts, "kv", &foreign),
            ["it has rights in the mount 'b', where no file declares a secret"]
        );
    }
}
