//! The Secret in the cluster follows, and is put back.

use super::{Broken, Cast, Delivered, Member, Story, ask::PRODUCTION_URL, ensure, secret, until};
use crate::{
    base::{Result, SecretValue},
    client::Delivery,
};

const CHAPTER: &str = "Deliver";

impl Story<'_> {
    pub(super) async fn deliver(&self, cast: &Cast) -> Result<(), Broken> {
        let dana = &cast.dana;
        self.step(CHAPTER, "the value is in the cluster's Secret", self.appears(dana)).await?;
        self.step(CHAPTER, "a new version is there, too", self.follows(dana)).await?;
        self.step(CHAPTER, "somebody edits it: it is put back", self.is_put_back()).await?;
        self.step(CHAPTER, "somebody deletes it: it is made again", self.is_made_again()).await
    }

    async fn appears(&self, dana: &Member) -> Result<()> {
        let found = self.holds("postgres://production/one").await?;
        ensure(found.labels.values().any(|it| it == "reports"), "it is labelled with its application")?;
        ensure(!found.annotations.is_empty(), "it is annotated")?;
        let delivery = delivery(dana).await?;
        ensure(delivery.state == "delivered", "the delivery says so")
    }

    async fn follows(&self, dana: &Member) -> Result<()> {
        let value = SecretValue::from("postgres://production/two".to_owned());
        dana.client.set_secret(&secret(PRODUCTION_URL), &value, None).await?;
        self.holds("postgres://production/two").await.map(drop)
    }

    async fn is_put_back(&self) -> Result<()> {
        self.world.edit().await?;
        until("the edit is undone", || async {
            let found = self.world.delivered().await?;
            Ok(found.filter(|it| !it.values.contains_key("EDITED")).map(drop))
        })
        .await
    }

    async fn is_made_again(&self) -> Result<()> {
        self.world.delete().await?;
        self.holds("postgres://production/two").await.map(drop)
    }

    /// Waits until the Secret holds this value.
    pub(super) async fn holds(&self, value: &str) -> Result<Delivered> {
        until("the Secret holds the value", || async {
            let found = self.world.delivered().await?;
            Ok(found
                .filter(|it| it.values.get("DATABASE_URL").is_some_and(|it| it.expose() == value.as_bytes())))
        })
        .await
    }
}

/// The delivery of the example.
pub(super) async fn delivery(member: &Member) -> Result<Delivery> {
    let found =
        member.client.deliveries().await?.items.into_iter().find(|it| it.name == "reports-production");
    found.ok_or_else(|| crate::base::Problem::not_found("the delivery 'reports-production' is not listed"))
}
