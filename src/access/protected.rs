//! Which trust scopes open a protected environment to a group, for connections that add people to it.

use async_trait::async_trait;

use crate::{
    base::{Name, Result},
    catalog::{Catalog, Snapshot},
    identity::scim::ProtectedScopes,
    policy::{ADMINISTRATORS, Allowance, Environments, TrustScope},
};

/// Says it from what files declare now.
pub struct DeclaredProtected(Catalog);

impl DeclaredProtected {
    /// From this catalog.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        Self(catalog)
    }
}

#[async_trait]
impl ProtectedScopes for DeclaredProtected {
    async fn opened_by(&self, source: &str, group_id: &str) -> Result<Vec<String>> {
        let declared = self.0.snapshot().await?;
        let Some(alias) = declared.alias(source, group_id) else { return Ok(Vec::new()) };
        let opens = declared.scopes.iter().filter(|scope| opens(&declared, scope, alias));
        Ok(opens.map(|scope| scope.name.to_string()).collect())
    }
}

fn opens(declared: &Snapshot, scope: &TrustScope, alias: &Name) -> bool {
    scope.members.groups.contains(alias)
        && (scope.name.as_str() == ADMINISTRATORS
            || scope.allows.iter().any(|allowance| reaches_protected(declared, allowance)))
}

fn reaches_protected(declared: &Snapshot, allowance: &Allowance) -> bool {
    let mut protected =
        declared.applications.values().flat_map(|it| &it.environments).filter(|it| it.protected);
    match &allowance.environments {
        None => false,
        Some(Environments::Word(_)) => protected.next().is_some(),
        Some(Environments::Named(names)) => protected.any(|it| names.contains(&it.name)),
    }
}
