//! Signing in, by each method. What proves who we are is read again each time, so that a rotated file
//! is taken up by itself.

use std::path::Path;

use rustify::Endpoint;
use serde::Deserialize;
use vaultrs::api::{
    auth::{
        approle::requests::LoginWithApproleRequest, kubernetes::requests::LoginWithKubernetesRequest,
        oidc::requests::JWTLoginRequest,
    },
    token::requests::LookupTokenSelfRequest,
};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Vault,
    call::Call,
    session::{Grant, Signed},
};
use crate::base::{
    Problem, ProblemKind, Result,
    config::{Credential, VaultAuth},
};

/// What a token says of itself.
#[derive(Deserialize)]
struct Own {
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

impl Vault {
    /// A new token.
    pub(super) async fn sign_in(&self) -> Result<Grant> {
        match &self.config.auth {
            VaultAuth::AppRole { mount, role_id, secret_id } => {
                let secret_id = text(secret_id)?;
                let mut request =
                    LoginWithApproleRequest { mount: mount.clone(), role_id: role_id.clone(), secret_id };
                let grant = self.log_in(&request).await;
                request.secret_id.zeroize();
                grant
            }
            VaultAuth::Kubernetes { mount, role, token_file } => {
                let jwt = file(token_file)?;
                let mut request =
                    LoginWithKubernetesRequest { mount: mount.clone(), role: role.clone(), jwt };
                let grant = self.log_in(&request).await;
                request.jwt.zeroize();
                grant
            }
            VaultAuth::Jwt { mount, role, token_file } => {
                let jwt = file(token_file)?;
                let mut request = JWTLoginRequest { mount: mount.clone(), jwt, role: Some(role.clone()) };
                let grant = self.log_in(&request).await;
                request.jwt.zeroize();
                grant
            }
            VaultAuth::Token(token) => self.take_token(Zeroizing::new(text(token)?)).await,
        }
    }

    async fn log_in<E: Endpoint>(&self, request: &E) -> Result<Grant> {
        let path = request.path().trim_start_matches('/').to_owned();
        let answer = self.exchange(&path, Call::of(request), None).await?;
        if !answer.is_success() {
            return Err(self.refused(&path, &answer));
        }
        let grant = answer.json::<Signed>().and_then(Signed::grant);
        grant.ok_or_else(|| self.nonsense(&path, "there is no token in the answer"))
    }

    /// A token that was made for us: how long it lives, only Vault knows.
    async fn take_token(&self, token: Zeroizing<String>) -> Result<Grant> {
        let path = "auth/token/lookup-self";
        let answer = self.exchange(path, Call::of(&LookupTokenSelfRequest {}), Some(&token)).await?;
        if answer.status == 403 {
            let why = "the token is not valid, or may not look itself up";
            let remedy = "Put a live token into engine.vault.auth.token_file; it is read again by itself.";
            return Err(self.fault(path, why, remedy));
        }
        if !answer.is_success() {
            return Err(self.refused(path, &answer));
        }
        let own: Own = answer.data().ok_or_else(|| self.nonsense(path, "it says no life of the token"))?;
        Ok(Grant { token, seconds: own.ttl, renewable: own.renewable })
    }
}

fn file(path: &Path) -> Result<String> {
    text(&Credential::File(path.to_owned()))
}

/// vaultrs wants texts; whoever calls this wipes it.
fn text(credential: &Credential) -> Result<String> {
    let value = credential.read()?;
    let text = value.expose_text().map(str::trim).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| {
        Problem::new(
            ProblemKind::InvalidConfiguration,
            format!("what signs in to Vault is no text: {credential:?}"),
        )
        .remedy("Check the files under [engine.vault] auth.")
    })
}
