//! People sign in for the first time; nobody prepared anything.

use super::{Broken, Cast, Member, Story, ensure};
use crate::base::Result;

const CHAPTER: &str = "Join";

impl Story<'_> {
    pub(super) async fn join(&self, ada: Member) -> Result<Cast, Broken> {
        let dana = self
            .step(CHAPTER, "Dana signs in: whoami says which trust scopes, and why", self.developer())
            .await?;
        let others = "Omar, Lena and Aya sign in";
        let (omar, lena, aya) = self.step(CHAPTER, others, self.others()).await?;
        Ok(Cast { ada, dana, omar, lena, aya })
    }

    async fn developer(&self) -> Result<Member> {
        let dana = self.sign_in("dana").await?;
        let who = dana.client.who_am_i().await?;
        let scope = |name: &str| who.scopes.iter().find(|scope| scope.scope == name);
        let developer = scope("developer").filter(|it| it.within);
        let because = developer.and_then(|it| it.because.as_deref()).unwrap_or_default();
        ensure(because.contains("'engineering'"), "Dana is within 'developer' because of 'engineering'")?;
        let production = scope("production-access").filter(|it| !it.within);
        ensure(production.is_some_and(|it| it.remedy.is_some()), "'production-access' has to be asked for")?;
        ensure(who.teams == ["supa-team"], "Dana's team is 'supa-team'")?;
        Ok(dana)
    }

    async fn others(&self) -> Result<(Member, Member, Member)> {
        Ok((self.sign_in("omar").await?, self.sign_in("lena").await?, self.sign_in("aya").await?))
    }
}
