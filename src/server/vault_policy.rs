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
    let foreign = foreign_paths(&Catalog::new(database.clone(), config.administrators.clone())).await;
    database.close().await;
    least_policy(&vault.mount, &foreign?)
}

/// The places outside our own mount where files say that secrets live.
pub(super) async fn foreign_paths(catalog: &Catalog) -> Result<Vec<ForeignPath>> {
    let declared = catalog.snapshot().await?;
    let external = declared.applications.values().flat_map(|it| &it.secrets);
    Ok(external
        .map(|it| ForeignPath { mount: it.at.mount.clone(), path: it.at.path.clone(), writable: it.writable })
        .collect())
}
