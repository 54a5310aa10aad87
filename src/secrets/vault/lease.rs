//! Dynamic engines: credentials that are made when they are read, and that Vault takes back.
//!
//! Each lease is issued under a token of its own, made by a token role that Port Control may use and that gives
//! nothing but reading the credentials of declared roles. The token never leaves this process; its accessor is
//! what takes it, and the lease under it, back. The role's tokens have no parent, so that a lease does not die with
//! the token by which we happen to be signed in.

use async_trait::async_trait;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use vaultrs::api::database::requests::GenerateCredentialsRequest;
use zeroize::Zeroizing;

use super::{
    Vault,
    call::{Answer, Call},
    encoding::Fields,
    place::{checked, trim},
};
use crate::{
    base::{Result, SecretValue},
    secrets::leases::{EngineRole, Handle, Issued, LeaseEngine, Life, Opened},
};

/// The token role and the policy of its tokens are called after our own mount.
pub(super) fn token_role(mount: &str) -> String {
    format!("{}-lease", trim(mount).replace('/', "-"))
}

/// What making a token answers.
#[derive(Deserialize)]
pub(super) struct Made {
    pub(super) auth: Auth,
}

#[derive(Deserialize)]
pub(super) struct Auth {
    pub(super) client_token: Zeroizing<String>,
    pub(super) accessor: String,
    #[serde(default)]
    pub(super) orphan: bool,
}

/// What renewing a token answers.
#[derive(Deserialize)]
struct Renewed {
    auth: Lasts,
}

#[derive(Deserialize)]
struct Lasts {
    lease_duration: u64,
}

/// What reading credentials answers.
#[derive(Deserialize)]
struct Lent {
    lease_id: String,
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    data: Fields,
}

/// What renewing a lease answers.
#[derive(Deserialize)]
struct Prolonged {
    lease_duration: u64,
}

impl Vault {
    /// One POST with a JSON body, signed in, whatever the status of its answer.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let body = body.to_string().into_bytes();
        let make = || Some(Call::new(Method::POST, path, Zeroizing::new(body.clone())));
        self.ask_with(path, make).await
    }

    /// The same, where nothing but success will do.
    async fn done(&self, path: &str, body: &Value) -> Result<Answer> {
        let answer = self.post(path, body).await?;
        if answer.is_success() { Ok(answer) } else { Err(self.refused(path, &answer)) }
    }

    /// A token that may read credentials and nothing else. Its answer says whether it has a parent.
    pub(super) async fn make_token(&self, life: Life) -> Result<Made> {
        let path = format!("auth/token/create/{}", token_role(&self.config.mount));
        let body = json!({
            "ttl": format!("{}s", life.seconds),
            "explicit_max_ttl": format!("{}s", life.limit),
            "renewable": true,
            "no_default_policy": true,
            "display_name": "port-control-lease",
        });
        let answer = self.done(&path, &body).await?;
        answer.json().ok_or_else(|| self.nonsense(&path, "there is no token in the answer"))
    }

    async fn open_token(&self, life: Life) -> Result<Opened> {
        let Made { mut auth } = self.make_token(life).await?;
        Ok(Opened { accessor: auth.accessor, token: std::mem::take(&mut *auth.client_token).into() })
    }

    async fn read_credentials(&self, token: &SecretValue, role: &EngineRole, seconds: u64) -> Result<Issued> {
        let request = GenerateCredentialsRequest {
            mount: checked("mount", &role.mount)?,
            name: checked("role", &role.role)?,
        };
        let path = format!("{}/creds/{}", request.mount, request.name);
        let answer = self.exchange(&path, Call::of(&request), token.expose_text()).await?;
        if !answer.is_success() {
            return Err(self.refused(&path, &answer));
        }
        let lent: Lent =
            answer.json().ok_or_else(|| self.nonsense(&path, "there is no lease in the answer"))?;
        if lent.lease_id.is_empty() {
            return Err(self.nonsense(&path, "the credentials are no lease, and could not be taken back"));
        }
        let mut lasts = lent.lease_duration;
        if lasts < seconds && lent.renewable {
            lasts = self.prolong_lease(&lent.lease_id, seconds).await?;
        }
        Ok(Issued { lease: lent.lease_id, seconds: lasts, values: lent.data.all() })
    }

    async fn prolong_lease(&self, lease: &str, seconds: u64) -> Result<u64> {
        let path = "sys/leases/renew";
        let answer = self.done(path, &json!({ "lease_id": lease, "increment": seconds })).await?;
        let prolonged: Option<Prolonged> = answer.json();
        prolonged
            .map(|it| it.lease_duration)
            .ok_or_else(|| self.nonsense(path, "there is no lease in the answer"))
    }

    /// The token first: its end is the lease's, too.
    async fn prolong_both(&self, handle: &Handle, seconds: u64) -> Result<u64> {
        let mut lasts = seconds;
        if let Some(accessor) = &handle.accessor {
            let path = "auth/token/renew-accessor";
            let body = json!({ "accessor": accessor, "increment": format!("{seconds}s") });
            let answer = self.done(path, &body).await?;
            let renewed: Option<Renewed> = answer.json();
            let life = renewed.ok_or_else(|| self.nonsense(path, "there is no token in the answer"))?;
            lasts = lasts.min(life.auth.lease_duration);
        }
        match &handle.lease {
            Some(lease) => Ok(lasts.min(self.prolong_lease(lease, seconds).await?)),
            None => Ok(lasts),
        }
    }

    /// The lease by itself first: that answers only when the credentials are gone where they were good. The
    /// token in any case, so that nothing more can be read with it.
    async fn take_back(&self, handle: &Handle) -> Result<()> {
        let lease = match &handle.lease {
            Some(lease) => {
                let body = json!({ "lease_id": lease, "sync": true });
                self.done("sys/leases/revoke", &body).await.map(drop)
            }
            None => Ok(()),
        };
        if let Some(accessor) = &handle.accessor {
            self.revoke_accessor(accessor).await?;
        }
        lease
    }

    pub(super) async fn revoke_accessor(&self, accessor: &str) -> Result<()> {
        let path = "auth/token/revoke-accessor";
        let answer = self.post(path, &json!({ "accessor": accessor })).await?;
        // Vault knows no accessor of a token that has ended.
        let is_gone = matches!(answer.status, 400 | 404) && answer.complains_of("invalid accessor");
        if answer.is_success() || is_gone { Ok(()) } else { Err(self.refused(path, &answer)) }
    }
}

#[async_trait]
impl LeaseEngine for Vault {
    async fn open(&self, life: Life) -> Result<Opened> {
        self.bounded("a token for a lease", self.open_token(life)).await
    }

    async fn read(&self, opened: &Opened, role: &EngineRole, seconds: u64) -> Result<Issued> {
        let what = format!("{}/creds/{}", role.mount, role.role);
        self.bounded(&what, self.read_credentials(&opened.token, role, seconds)).await
    }

    async fn renew(&self, handle: &Handle, seconds: u64) -> Result<u64> {
        self.bounded("the renewal of a lease", self.prolong_both(handle, seconds)).await
    }

    async fn revoke(&self, handle: &Handle) -> Result<()> {
        self.bounded("the end of a lease", self.take_back(handle)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_role_is_called_after_our_own_mount() {
        assert_eq!(token_role("port-control"), "port-control-lease");
        assert_eq!(token_role("/team/kv/"), "team-kv-lease");
    }

    #[test]
    fn what_is_lent_is_all_that_is_there() {
        let text = r#"{"lease_id":"database/creds/reader/x","lease_duration":60,"renewable":true,
            "data":{"username":"u","password":"hunter2","ports":[1],"token":null}}"#;
        let lent: Lent = serde_json::from_str(text).unwrap();
        let all = lent.data.all();
        let shown: Vec<_> =
            all.iter().map(|(name, value)| (name.as_str(), value.expose_text().unwrap())).collect();
        assert_eq!(shown, [("password", "hunter2"), ("ports", "[1]"), ("username", "u")]);
    }
}
