//! Whether leases could be issued and taken back: the rights for that, and a token made as one is for a lease.

use http::Method;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Vault,
    call::Call,
    check::{Capabilities, missing},
    lease::token_role,
    policy::{Need, lease_needs, role_needs},
};
use crate::{
    base::Result,
    secrets::leases::{EngineRole, Life},
};

/// How long the token lives that is made to see whether it can be.
const TRIAL: Life = Life { seconds: 60, limit: 60 };

impl Vault {
    /// What is missing for leases of these roles, a line each; nothing where no file declares one.
    ///
    /// # Errors
    /// `engine-unavailable`; `engine-fault` where signing in is refused.
    pub async fn check_leases(&self, roles: &[EngineRole]) -> Result<Vec<String>> {
        if roles.is_empty() {
            return Ok(Vec::new());
        }
        self.bounded("a check of leases", self.examine_leases(roles)).await
    }

    async fn examine_leases(&self, roles: &[EngineRole]) -> Result<Vec<String>> {
        let needs = lease_needs(&self.config.mount)?;
        let mut lines = missing(&needs, &self.capabilities(&needs).await?);
        if !lines.is_empty() {
            return Ok(lines);
        }
        let made = match self.make_token(TRIAL).await {
            Ok(made) => made.auth,
            Err(problem) => return Ok(vec![problem.detail]),
        };
        if !made.orphan {
            lines.push(format!(
                "leases end with the server's own token, because tokens of the role '{}' have a parent: set orphan=true",
                token_role(&self.config.mount)
            ));
        }
        let needs = role_needs(roles)?;
        let held = self.held_by(&made.client_token, &needs).await;
        self.revoke_accessor(&made.accessor).await?;
        let lacks = missing(&needs, &held?);
        lines.extend(lacks.into_iter().map(|line| format!("leases cannot be issued: {line} --leases")));
        Ok(lines)
    }

    /// What a token may at these paths.
    async fn held_by(&self, token: &str, needs: &[Need]) -> Result<Capabilities> {
        let path = "sys/capabilities-self";
        let paths: Vec<&str> = needs.iter().map(|need| need.path.as_str()).collect();
        let body = Zeroizing::new(json!({ "paths": paths }).to_string().into_bytes());
        let answer = self.exchange(path, Some(Call::new(Method::POST, path, body)), Some(token)).await?;
        if !answer.is_success() {
            return Err(self.refused(path, &answer));
        }
        let held: std::collections::BTreeMap<String, serde_json::Value> =
            answer.data().ok_or_else(|| self.nonsense(path, "there are no capabilities in the answer"))?;
        Ok(held
            .into_iter()
            .filter_map(|(path, can)| Some((path, serde_json::from_value(can).ok()?)))
            .collect())
    }
}
