//! The facts of a workload that calls: what files declare of it now, and its token.

use std::sync::Arc;

use crate::{
    base::{Result, Timestamp},
    catalog::Snapshot,
    identity::{Identity, WorkloadCaller, WorkloadRow},
    policy::{FactVersions, ScopeStanding, WorkloadFacts},
};

/// What a workload is here, and why.
#[derive(Clone, Debug)]
pub struct WorkloadStanding {
    /// Its token.
    pub token: WorkloadRow,
    /// How it stands to each trust scope that names it.
    pub scopes: Vec<ScopeStanding>,
}

/// Gathers them. A declaration that has moved since the token was issued is another workload's.
pub(super) async fn gather(
    identity: &Identity,
    declared: &Snapshot,
    caller: &WorkloadCaller,
    now: Timestamp,
) -> Result<(WorkloadFacts, WorkloadRow)> {
    let row = identity.workload_facts(caller).await?;
    let declaration = declared.workloads.get(&caller.workload);
    let facts = WorkloadFacts {
        workload: caller.workload.clone(),
        is_declared: declaration.is_some_and(|it| it.digest().as_slice() == row.declaration),
        token: caller.token,
        token_ends: row.ends_at,
        only: row.scope.clone(),
        scopes: Arc::clone(&declared.scopes),
        now,
        network: caller.network,
        versions: FactVersions {
            workload: Some(caller.token),
            catalog: declared.version,
            ..FactVersions::default()
        },
    };
    Ok((facts, row))
}
