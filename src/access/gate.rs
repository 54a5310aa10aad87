//! The one way to a permit for people and workloads: gathers the facts of now and asks policy.

use std::{future::Future, sync::Arc};

use super::{
    facts::{gather, teams_of},
    grants::{Grant, grants_of},
    moves::{Moves, moves},
    workload::{self, WorkloadStanding},
};
use crate::{
    audit::Log,
    base::{
        Ambient, Name, Problem, ProblemKind, Result,
        ids::{MoveId, PersonId},
    },
    catalog::Catalog,
    identity::{AnyCaller, Caller, Identity, WorkloadCaller},
    policy::{Action, DenialReason, Facts, Permit, PersonFacts, Policies, Resource, ScopeStanding},
    store::Database,
};

/// How often an act is decided again when its facts move underneath.
const DECISIONS: usize = 3;

/// What the gate asks.
pub struct GateParts {
    /// Where grants lie.
    pub database: Database,
    /// Where denials are recorded.
    pub log: Log,
    /// Who people are.
    pub identity: Identity,
    /// What files declare.
    pub catalog: Catalog,
    /// What decides.
    pub policies: Arc<Policies>,
    /// Time.
    pub ambient: Ambient,
}

/// Where people and workloads get their permits. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<GateParts>);

/// What somebody is here, and why.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Her teams.
    pub teams: Vec<Name>,
    /// How she stands to each trust scope.
    pub scopes: Vec<ScopeStanding>,
    /// Her live grants, the newest first.
    pub grants: Vec<Grant>,
}

impl Gate {
    /// A gate over these.
    #[must_use]
    pub fn new(parts: GateParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The permit of `caller` to do `action` to `resource`, decided on the facts of now.
    ///
    /// # Errors
    /// The denial, with its reason and remedy, once it is recorded; `not-recorded` where it cannot be;
    /// `unauthenticated` where the session has ended.
    pub async fn authorize(
        &self,
        caller: impl Into<AnyCaller>,
        action: Action,
        resource: Resource,
    ) -> Result<Permit> {
        let caller = caller.into();
        let facts = self.facts_of(&caller).await?;
        let denial = match self.0.policies.decide(&facts, action, resource.clone()) {
            Ok(permit) => return Ok(permit),
            Err(denial) => denial,
        };
        // What is only too old may be true still: her provider is asked before she is sent there.
        let is_old = matches!(denial.reason(), DenialReason::FactsTooOld | DenialReason::NotConfirmed);
        let is_confirmed = match &caller {
            AnyCaller::Person(caller) if is_old => self.0.identity.confirm_now(caller.session).await,
            _ => false,
        };
        if !is_confirmed {
            return Err(self.0.log.deny(*denial).await);
        }
        let facts = self.facts_of(&caller).await?;
        match self.0.policies.decide(&facts, action, resource) {
            Ok(permit) => Ok(permit),
            Err(denial) => Err(self.0.log.deny(*denial).await),
        }
    }

    /// Authorizes and acts; where a fact has moved before the act was recorded, decides again.
    ///
    /// # Errors
    /// As [`Self::authorize`]; what `act` answers; `facts-changed` where facts moved three times over.
    pub async fn act<T, Acting, Done>(
        &self,
        caller: impl Into<AnyCaller>,
        action: Action,
        resource: Resource,
        act: Acting,
    ) -> Result<T>
    where
        Acting: Fn(Permit) -> Done,
        Done: Future<Output = Result<T>>,
    {
        let caller = caller.into();
        let mut decisions = 1;
        loop {
            let permit = self.authorize(&caller, action, resource.clone()).await?;
            match act(permit).await {
                Err(problem) if problem.is(ProblemKind::FactsChanged) && decisions < DECISIONS => {
                    decisions += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Of these, what the caller may do `action` to: for lists, which show what she may see. What is left
    /// out is no denial, and not recorded as one.
    ///
    /// # Errors
    /// `unauthenticated` where the session has ended; else a problem of the database.
    pub async fn allowed<T>(
        &self,
        caller: impl Into<AnyCaller>,
        action: Action,
        items: Vec<T>,
        resource: impl Fn(&T) -> Result<Resource>,
    ) -> Result<Vec<T>> {
        let facts = self.facts_of(&caller.into()).await?;
        let mut allowed = Vec::with_capacity(items.len());
        for item in items {
            if self.0.policies.decide(&facts, action, resource(&item)?).is_ok() {
                allowed.push(item);
            }
        }
        Ok(allowed)
    }

    /// Why the caller may not do `action` to `resource`, and what helps; nothing where she may. For lists that
    /// show nothing: no denial, and not recorded as one.
    ///
    /// # Errors
    /// `unauthenticated` where the session has ended; else a problem of the database.
    pub async fn why_not(
        &self,
        caller: impl Into<AnyCaller>,
        action: Action,
        resource: Resource,
    ) -> Result<Option<String>> {
        let facts = self.facts_of(&caller.into()).await?;
        Ok(self.0.policies.decide(&facts, action, resource).err().map(|denial| denial.in_words()))
    }

    /// What the caller is here: her teams, how she stands to each trust scope and why, her grants.
    ///
    /// # Errors
    /// `unauthenticated` where the session has ended; else a problem of the database.
    pub async fn standing(&self, caller: &Caller) -> Result<Standing> {
        let facts = self.facts(caller).await?;
        let grants = grants_of(&self.0.database, caller.person, facts.now).await?;
        Ok(Standing { teams: teams_of(&facts), scopes: self.0.policies.explain(&facts), grants })
    }

    /// What a workload is here: its token, how it stands to each trust scope that names it and why.
    ///
    /// # Errors
    /// `unauthenticated` where its token has ended; else a problem of the database.
    pub async fn standing_of_workload(&self, caller: &WorkloadCaller) -> Result<WorkloadStanding> {
        let declared = self.0.catalog.snapshot().await?;
        let (facts, token) =
            workload::gather(&self.0.identity, &declared, caller, self.0.ambient.now()).await?;
        Ok(WorkloadStanding { token, scopes: self.0.policies.explain_workload(&facts) })
    }

    /// What the caller gained and lost when her groups changed, or what files say of these; and what moved
    /// into and out of her teams. A page after the one named `after`, the newest first.
    ///
    /// # Errors
    /// `unauthenticated` where the session has ended; else a problem of the database.
    pub async fn own_moves(&self, caller: &Caller, after: Option<MoveId>) -> Result<Moves> {
        let permit = self.authorize(caller, Action::SeeOwn, Resource::Own).await?;
        let teams = teams_of(&self.facts(caller).await?);
        moves(&self.0.database, &permit, caller.person, &teams, after).await
    }

    /// What somebody gained and lost so. `permit` is one to see people, or one's own.
    ///
    /// # Errors
    /// A problem of the database.
    pub async fn moves_of(&self, permit: &Permit, person: PersonId, after: Option<MoveId>) -> Result<Moves> {
        moves(&self.0.database, permit, person, &[], after).await
    }

    /// What decides: for those who ask what it would say of others, such as auditors.
    #[must_use]
    pub fn policies(&self) -> Arc<Policies> {
        Arc::clone(&self.0.policies)
    }

    async fn facts_of(&self, caller: &AnyCaller) -> Result<Facts> {
        match caller {
            AnyCaller::Person(caller) => Ok(Facts::Person(self.facts(caller).await?)),
            AnyCaller::Workload(caller) => {
                let declared = self.0.catalog.snapshot().await?;
                let now = self.0.ambient.now();
                let (facts, _) = workload::gather(&self.0.identity, &declared, caller, now).await?;
                Ok(Facts::Workload(facts))
            }
        }
    }

    async fn facts(&self, caller: &Caller) -> Result<PersonFacts, Problem> {
        let declared = self.0.catalog.snapshot().await?;
        gather(&self.0.identity, &self.0.database, &declared, caller, self.0.ambient.now()).await
    }
}
