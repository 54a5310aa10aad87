//! Static roles of Vault's database engine: `MOUNT/static-creds/ROLE` and `MOUNT/rotate-role/ROLE`.

use async_trait::async_trait;
use http::Method;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Vault, call::Call, place::checked};
use crate::{
    base::{Result, SecretValue},
    secrets::{StaticCredentials, StaticRoles},
};

/// What `static-creds` answers with, as far as it matters here.
#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: Zeroizing<String>,
}

#[async_trait]
impl StaticRoles for Vault {
    async fn credentials(&self, mount: &str, role: &str) -> Result<StaticCredentials> {
        let path = below(mount, "static-creds", role)?;
        self.bounded(&path, self.static_credentials(&path)).await
    }

    async fn rotate(&self, mount: &str, role: &str) -> Result<()> {
        let path = below(mount, "rotate-role", role)?;
        self.bounded(&path, self.rotate_role(&path)).await
    }
}

fn below(mount: &str, part: &str, role: &str) -> Result<String> {
    Ok(format!("{}/{part}/{}", checked("mount", mount)?, checked("role", role)?))
}

impl Vault {
    async fn static_credentials(&self, path: &str) -> Result<StaticCredentials> {
        let make = || Some(Call { body: None, ..Call::new(Method::GET, path, Zeroizing::default()) });
        let answer = self.ask_with(path, make).await?;
        if !answer.is_success() {
            return Err(self.refused(path, &answer));
        }
        let found = answer.data::<Credentials>();
        let found = found.ok_or_else(|| self.nonsense(path, "there is no password in the answer"))?;
        let password = SecretValue::new(found.password.as_bytes().to_vec());
        Ok(StaticCredentials { username: found.username, password })
    }

    async fn rotate_role(&self, path: &str) -> Result<()> {
        let make = || Some(Call::new(Method::POST, path, Zeroizing::new(b"{}".to_vec())));
        let answer = self.ask_with(path, make).await?;
        if answer.is_success() { Ok(()) } else { Err(self.refused(path, &answer)) }
    }
}
