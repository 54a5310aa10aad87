//! Somebody leaves: everything she holds is dead at once, and what she knows is replaced.

use super::{
    Broken, Cast, Member, Story,
    ask::{PRODUCTION_URL, ask_for},
    ensure,
    keep::{SANDBOX_KEY, SANDBOX_URL},
    refused, secret, until,
};
use crate::{
    base::{ProblemKind, Result, SecretValue},
    client::{Generate, PersonAct, Verdict},
};

const CHAPTER: &str = "Leave";
const SANDBOX_TOKEN: &str = "reports/sandbox/API_TOKEN";
const LEAVER: &str = "lena@example.com";

impl Story<'_> {
    pub(super) async fn leave(&self, cast: &mut Cast) -> Result<(), Broken> {
        let held = "Lena holds two sessions, a grant, a pending request, and knows four values";
        self.step(CHAPTER, held, self.hold(&cast.lena, &cast.omar)).await?;
        self.step(CHAPTER, "Ada deactivates her: from here nothing of it works", self.deactivate(cast))
            .await?;
        self.step(CHAPTER, "signing in again brings nothing back", self.no_way_back(cast)).await?;
        self.step(CHAPTER, "each value that she knows is a rotation task", self.tasks(&cast.ada, 4)).await?;
        self.step(CHAPTER, "setting an equal value closes none", self.equal_value(cast)).await?;
        self.step(CHAPTER, "different values, delivered, close them all", self.rotate(cast)).await
    }

    async fn hold(&self, lena: &Member, omar: &Member) -> Result<()> {
        lena.client.reveal(&secret(SANDBOX_URL), None).await?;
        lena.client.reveal(&secret(SANDBOX_KEY), None).await?;
        lena.client.set_secret(&secret(SANDBOX_TOKEN), &SecretValue::from("hers".to_owned()), None).await?;
        let asked = ask_for(lena, "reports/production", "1h").await?;
        omar.client.decide(&asked.request.id, Verdict::Approve, None).await?;
        lena.client.reveal(&secret(PRODUCTION_URL), None).await?;
        let pending = ask_for(lena, "billing/production", "1h").await?;
        ensure(pending.request.is_pending(), "her second request waits")
    }

    async fn deactivate(&self, cast: &mut Cast) -> Result<()> {
        cast.ada.client.act_on_person(LEAVER, PersonAct::Deactivate, "left on Friday").await?;
        let gone = &[ProblemKind::PersonDeactivated, ProblemKind::Unauthenticated];
        refused(cast.lena.client.who_am_i().await, gone)?;
        refused(cast.lena.client.reveal(&secret(SANDBOX_URL), None).await, gone)?;
        refused(cast.lena.client.reveal(&secret(PRODUCTION_URL), None).await, gone)?;
        let page = cast.lena.browser.open(self.page("/whoami")?).await?;
        ensure(!page.text.contains(LEAVER), "her browser shows her nothing")?;
        until("nothing of hers is left but what she knows", || async {
            let left = cast.ada.client.leaver(LEAVER).await?.line.left;
            Ok((left.sessions + left.requests + left.grants + left.leases == 0).then_some(()))
        })
        .await
    }

    async fn no_way_back(&self, cast: &mut Cast) -> Result<()> {
        let again = self.world.sign_in(&mut cast.lena.browser, "lena").await;
        let refusal = refused(again, &[ProblemKind::SignInRefused, ProblemKind::PersonDeactivated])?;
        ensure(refusal.detail.contains("deactivated"), "the refusal says why")
    }

    async fn tasks(&self, ada: &Member, count: i64) -> Result<()> {
        until(&format!("{count} rotation tasks are open"), || async {
            let left = ada.client.leaver(LEAVER).await?.line.left;
            Ok((left.rotation_tasks == count).then_some(()))
        })
        .await
    }

    async fn equal_value(&self, cast: &Cast) -> Result<()> {
        let hers = SecretValue::from("hers".to_owned());
        let made = cast.dana.client.set_secret(&secret(SANDBOX_TOKEN), &hers, None).await?;
        ensure(made.equal_to_previous, "the answer says that it is equal")?;
        let left = cast.ada.client.leaver(LEAVER).await?.line.left;
        ensure(left.rotation_tasks == 4, "four tasks are open")
    }

    async fn rotate(&self, cast: &Cast) -> Result<()> {
        for at in [SANDBOX_URL, SANDBOX_KEY, SANDBOX_TOKEN] {
            cast.dana.client.generate_secret(&secret(at), &Generate::default()).await?;
        }
        self.tasks(&cast.ada, 1).await?;
        let value = SecretValue::from("postgres://production/three".to_owned());
        cast.dana.client.set_secret(&secret(PRODUCTION_URL), &value, None).await?;
        self.holds("postgres://production/three").await?;
        self.tasks(&cast.ada, 0).await
    }
}
