//! An administrator declares teams, applications, trust scopes and deliveries.

use super::{Broken, Member, Story, ensure};
use crate::{base::Result, client::Apply};

const CHAPTER: &str = "Declare";

impl Story<'_> {
    pub(super) async fn declare(&self) -> Result<Member, Broken> {
        let ada = self.step(
            CHAPTER,
            "Ada signs in: the configuration makes her an administrator",
            self.administrator(),
        );
        let ada = ada.await?;
        self.step(CHAPTER, "Ada plans and applies the files in one transaction", self.apply(&ada)).await?;
        self.step(CHAPTER, "applying them again changes nothing", self.apply_again(&ada)).await?;
        Ok(ada)
    }

    async fn administrator(&self) -> Result<Member> {
        let ada = self.sign_in("ada").await?;
        let who = ada.client.who_am_i().await?;
        let within = who.scopes.iter().any(|scope| scope.scope == "administrators" && scope.within);
        ensure(within, "Ada is within 'administrators'")?;
        Ok(ada)
    }

    async fn apply(&self, ada: &Member) -> Result<()> {
        let set = self.world.documents();
        let plan = ada.client.plan(&set).await?;
        ensure(!plan.changes.is_empty(), "the plan shows changes")?;
        let apply = Apply {
            set: &set,
            allow_delete: false,
            expect_version: Some(plan.base_version),
            expect_digest: Some(&plan.digest),
        };
        let applied = ada.client.apply(&apply).await?;
        ensure(applied.changes.len() == plan.changes.len(), "what was planned was applied")
    }

    async fn apply_again(&self, ada: &Member) -> Result<()> {
        let set = self.world.documents();
        let again = Apply { set: &set, allow_delete: false, expect_version: None, expect_digest: None };
        ensure(ada.client.apply(&again).await?.changes.is_empty(), "nothing changes")
    }
}
