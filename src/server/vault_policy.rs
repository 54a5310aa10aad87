//! `port-control vault-policy`

use crate::{
    base::{Config, Problem, ProblemKind, Result, config::EngineConfig},
    catalog::Catalog,
    secrets::{
        ForeignPath, lease_addition, lease_policy, leases::EngineRole, least_policy, static_role_addition,
    },
    store::Database,
};

/// Which policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhosePolicy {
    /// The server's own.
    Server,
    /// Of the tokens under which leases are issued.
    Leases,
}

/// The least policy that the configured engine needs, in HCL: our own mount, and the places and roles that
/// files declare beside it.
///
/// # Errors
/// `invalid-configuration` where the engine is not Vault; a problem of the database.
pub async fn vault_policy(config: &Config, whose: WhosePolicy) -> Result<String> {
    let EngineConfig::Vault(vault) = &config.engine else {
        return Err(Problem::new(
            ProblemKind::InvalidConfiguration,
            "the engine is not Vault but the embedded one",
        )
        .remedy("Set `[engine] kind = \"vault\"`."));
    };
    let url = config.database.read()?;
    let database = Database::open(url.expose_text().unwrap_or_default()).await?;
    let catalog = Catalog::new(database.clone(), config.administrators.clone());
    let (foreign, roles) = (foreign_paths(&catalog).await, engine_roles(&catalog).await);
    let rotated = static_roles(&catalog).await;
    database.close().await;
    let (foreign, roles, rotated) = (foreign?, roles?, rotated?);
    match whose {
        WhosePolicy::Server => {
            let own = least_policy(&vault.mount, &foreign)?;
            Ok(own + &lease_addition(&vault.mount, &roles)? + &static_role_addition(&rotated)?)
        }
        WhosePolicy::Leases => lease_policy(&roles),
    }
}

/// The roles whose credentials files say can be leased.
pub(super) async fn engine_roles(catalog: &Catalog) -> Result<Vec<EngineRole>> {
    let declared = catalog.snapshot().await?;
    let roles = declared.applications.values().flat_map(|it| &it.leases);
    Ok(roles.map(|it| EngineRole { mount: it.at.mount.clone(), role: it.at.role.clone() }).collect())
}

/// The static roles that files say give secrets their new values.
pub(super) async fn static_roles(catalog: &Catalog) -> Result<Vec<EngineRole>> {
    let declared = catalog.snapshot().await?;
    let mut roles = Vec::new();
    for role in declared.rotation_list().filter_map(|(_, it)| it.static_role()) {
        roles.extend(role.roles().map(|it| EngineRole { mount: role.mount.clone(), role: it.to_owned() }));
    }
    Ok(roles)
}

/// The places outside our own mount where files say that secrets live.
pub(super) async fn foreign_paths(catalog: &Catalog) -> Result<Vec<ForeignPath>> {
    let declared = catalog.snapshot().await?;
    let external = declared.applications.values().flat_map(|it| &it.secrets);
    Ok(external
        .map(|it| ForeignPath { mount: it.at.mount.clone(), path: it.at.path.clone(), writable: it.writable })
        .collect())
}
