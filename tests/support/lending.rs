//! OpenBao's database engine with a real PostgreSQL behind it, and the least rights with which a server leases
//! there.

use anyhow::{Context as _, Result};
use port_control::{
    base::config::{Credential, EngineConfig, VaultAuth, VaultConfig},
    client::Lent,
    secrets::{lease_addition, lease_policy, leases::EngineRole, least_policy},
};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use url::Url;

use crate::peers::{Mount, OpenBao, Postgres, TestDatabase, unique};

/// The role `reader` of a mount.
pub fn reader(mount: &str) -> EngineRole {
    EngineRole { mount: mount.to_owned(), role: "reader".to_owned() }
}

/// A database engine of the test's own that makes roles in a database of the test's own.
pub async fn database_engine(bao: &OpenBao, server: &Postgres, database: &TestDatabase) -> Result<String> {
    let mount = unique("database");
    bao.call(Method::POST, &format!("sys/mounts/{mount}"), Some(json!({ "type": "database" }))).await?;
    let url = Url::parse(&server.url)?;
    let (host, port) = (url.host_str().context("no host")?, url.port().context("no port")?);
    let connection = json!({
        "plugin_name": "postgresql-database-plugin",
        "allowed_roles": "*",
        "username": url.username(),
        "password": url.password().context("no password")?,
        "connection_url": format!(
            "postgresql://{{{{username}}}}:{{{{password}}}}@{host}:{port}/{}?sslmode=disable", database.name
        ),
    });
    bao.call(Method::POST, &format!("{mount}/config/main"), Some(connection)).await?;
    let reader = json!({
        "db_name": "main",
        "creation_statements": [
            "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
        ],
        "default_ttl": "5m",
        "max_ttl": "24h",
    });
    bao.call(Method::POST, &format!("{mount}/roles/reader"), Some(reader)).await?;
    Ok(mount)
}

/// A mount of our own with the least that leases need, as `port-control vault-policy` prints it.
pub async fn our_mount(bao: &OpenBao, roles: &[EngineRole]) -> Result<Mount> {
    let text = |path: &str| {
        let addition = lease_addition(path, roles).expect("the mounts have names");
        least_policy(path, &[]).expect("the mount has a name") + &addition
    };
    let mount = bao.mount_with(text).await?;
    let name = format!("{}-lease", mount.path);
    bao.set_policy(&name, &lease_policy(roles)?).await?;
    token_role(bao, &name, true).await?;
    // Not even the policy `default` beside it.
    let ours = format!("auth/approle/role/{}", mount.role.name);
    bao.call(Method::POST, &ours, Some(json!({ "token_no_default_policy": true }))).await?;
    Ok(mount)
}

/// What makes the tokens under which leases are issued.
pub async fn token_role(bao: &OpenBao, name: &str, orphan: bool) -> Result<()> {
    let role = json!({
        "allowed_policies": [name], "orphan": orphan, "renewable": true, "token_type": "service",
        "token_no_default_policy": true,
    });
    bao.call(Method::POST, &format!("auth/token/roles/{name}"), Some(role)).await.map(drop)
}

/// The engine as a server's configuration has it.
pub fn engine(bao: &OpenBao, ours: &Mount) -> Result<EngineConfig> {
    Ok(EngineConfig::Vault(Box::new(VaultConfig {
        address: bao.address.parse()?,
        ca_file: None,
        namespace: None,
        mount: ours.path.clone(),
        max_versions: 4,
        auth: VaultAuth::AppRole {
            mount: "approle".to_owned(),
            role_id: ours.role.role_id.clone(),
            secret_id: Credential::Value(ours.role.secret_id.clone().into()),
        },
    })))
}

/// A part of what was leased.
pub fn part(lent: &Lent, name: &str) -> Result<String> {
    let found = lent.credentials.iter().find(|it| it.name == name);
    let text = found.and_then(|it| it.value.expose_text()).context("the credentials lack a part")?;
    Ok(text.to_owned())
}

/// Whether credentials are good in the database that they were made for.
pub async fn sign_in(database: &TestDatabase, username: &str, password: &str) -> Result<bool> {
    let mut url = Url::parse(&database.url)?;
    url.set_username(username).map_err(|()| anyhow::anyhow!("no user"))?;
    url.set_password(Some(password)).map_err(|()| anyhow::anyhow!("no password"))?;
    match PgConnection::connect(url.as_str()).await {
        Ok(connection) => Ok(connection.close().await.map(|()| true)?),
        // 28: whoever this is may not sign in.
        Err(sqlx::Error::Database(why)) if why.code().is_some_and(|it| it.starts_with("28")) => Ok(false),
        Err(other) => Err(other.into()),
    }
}
