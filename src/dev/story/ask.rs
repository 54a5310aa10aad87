//! Production is asked for, approved by somebody else, and ends by itself.

use super::{Broken, Cast, Member, Story, cast::address, ensure, refused, secret, until};
use crate::{
    base::{Problem, ProblemKind, Result, SecretValue},
    client::{Asked, NewRequest, Verdict},
};

const CHAPTER: &str = "Ask";
pub(super) const PRODUCTION_URL: &str = "reports/production/DATABASE_URL";

impl Story<'_> {
    pub(super) async fn ask(&self, cast: &mut Cast) -> Result<(), Broken> {
        let (dana, omar, lena) = (&cast.dana, &mut cast.omar, &cast.lena);
        self.step(CHAPTER, "production is denied, with the command that asks for it", self.denied(dana))
            .await?;
        let asked =
            self.step(CHAPTER, "Dana asks for it; she cannot approve it herself", self.request(dana)).await?;
        self.step(CHAPTER, "Omar approves it on a page", self.approve_on_page(omar, &asked)).await?;
        self.step(CHAPTER, "Dana reveals what she was granted", self.granted(dana)).await?;
        self.step(
            CHAPTER,
            "Omar's grant ends by itself, under his live session",
            self.short_grant(omar, lena),
        )
        .await
    }

    async fn denied(&self, dana: &Member) -> Result<()> {
        let no =
            refused(dana.client.reveal(&secret(PRODUCTION_URL), None).await, &[ProblemKind::NeedsGrant])?;
        let remedy = no.remedy.unwrap_or_default();
        ensure(
            remedy.contains("portctl request create --action reveal reports/production"),
            "the remedy is a command",
        )
    }

    async fn request(&self, dana: &Member) -> Result<Asked> {
        let asked = ask_for(dana, "reports/production", "1h").await?;
        ensure(asked.approvers.iter().any(|it| it.display_name == "Omar"), "Omar can approve it")?;
        let own = dana.client.decide(&asked.request.id, Verdict::Approve, None).await;
        refused(own, &[ProblemKind::Denied])?;
        Ok(asked)
    }

    async fn approve_on_page(&self, omar: &mut Member, asked: &Asked) -> Result<()> {
        let page = omar.browser.open(address(&asked.link)?).await?;
        let page = omar.browser.submit(&page, &[("verdict", "approve"), ("reason", "seen INC-123")]).await?;
        if page.status.is_success() {
            return Ok(());
        }
        Err(Problem::conflict(page.told()))
    }

    async fn granted(&self, dana: &Member) -> Result<()> {
        let at = secret(PRODUCTION_URL);
        dana.client.set_secret(&at, &SecretValue::from("postgres://production/one".to_owned()), None).await?;
        let value = dana.client.reveal(&at, None).await?;
        ensure(value.value.expose() == b"postgres://production/one", "what was set is revealed")?;
        let again = ask_for(dana, "reports/production", "1h").await?;
        ensure(again.grant.is_some(), "a live grant is used rather than asked for again")
    }

    /// Two seconds: enough to reveal once, and short enough to be waited for.
    async fn short_grant(&self, omar: &Member, lena: &Member) -> Result<()> {
        let asked = ask_for(omar, "reports/production", "2s").await?;
        lena.client.decide(&asked.request.id, Verdict::Approve, None).await?;
        omar.client.reveal(&secret(PRODUCTION_URL), None).await?;
        until("the grant ends", || async { Ok(omar.client.grants().await?.is_empty().then_some(())) })
            .await?;
        let after = omar.client.reveal(&secret(PRODUCTION_URL), None).await;
        refused(after, &[ProblemKind::NeedsGrant]).map(drop)
    }
}

/// Asks to reveal in an environment.
pub(super) async fn ask_for(member: &Member, at: &str, length: &str) -> Result<Asked> {
    let reason = "INC-123 reports are slow";
    member.client.ask(&NewRequest { action: "reveal", at, scope: None, length, reason }).await
}
