//! `port-control vault-policy`

use crate::{
    base::{Config, Problem, ProblemKind, Result, config::EngineConfig},
    catalog::Catalog,
    secrets::{ForeignPath, least_policy},
    store::Database,
};

/// The least policy that the configured engine needs, in HCL: our own mount, and the places that files
/// declare beside it.
///
/// # Errors
/// `invalid-configuration` where the engine is not Vault; a problem of the database.
pub async fn vault_policy(config: &Config) -> Result<String> {
    let EngineConfig::Vault(vault) = &config.engine else {
        return Err(Problem::new(
            ProblemKind::InvalidConfiguration,
            "the engine is not Vault but the embedded one",
        )
        .remedy("Set `[engine] kind = \"vault\"`."));
    };
    let url = config.database.read()?;
    let database = Database::open(url.expose_text().unwrap_or_default()).await?;
    let declared = Catalog::new(database.clone(), config.administrators.clone()).snapshot().await?;
    database.close().await;
    let external = declared.applications.values().flat_map(|it| &it.secrets);
    let foreign: Vec<ForeignPath> = external
        .map(|it| ForeignPath { mount: it.at.mount.clone(), path: it.at.path.clone(), writable: it.writable })
        .collect();
    least_policy(&vault.mount, &foreign)
}
