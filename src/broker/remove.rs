//! Taking away what should not be there any more, and only what is ours.

use super::{
    Broker, Found, Mode, Spot, Target, TargetError,
    desired::{Place, is_ours},
    reconcile::trouble,
    units::{About, Fail, Forget, Leave, OpenRemove},
};
use crate::{
    audit::IntentOutcome,
    base::{EnvironmentRef, Name, Problem, Result},
    catalog::Delivery,
    policy::EnvironmentFacts,
    store::sql,
};

#[derive(sqlx::FromRow)]
struct PlaceRow {
    delivery: String,
    cluster: String,
    namespace: String,
    secret: String,
    environment: String,
}

impl PlaceRow {
    fn read(self) -> Result<(Name, Place, EnvironmentRef), String> {
        let spot = Spot { namespace: self.namespace.parse()?, secret: self.secret };
        let place = Place { cluster: self.cluster.parse()?, spot };
        Ok((self.delivery.parse()?, place, self.environment.parse()?))
    }
}

impl Broker {
    async fn places(&self) -> Result<Vec<(Name, Place, EnvironmentRef)>> {
        let query = sql("SELECT delivery, cluster, namespace, secret, environment FROM delivery_places");
        let rows: Vec<PlaceRow> = self.it.database.fetch_all(query).await?;
        rows.into_iter().map(|row| row.read().map_err(Problem::internal)).collect()
    }

    /// Every Secret that may be there because we made it, with its delivery.
    pub(super) async fn all_places(&self) -> Result<Vec<(Name, Place)>> {
        Ok(self.places().await?.into_iter().map(|(name, place, _)| (name, place)).collect())
    }

    async fn places_of(&self, name: &Name) -> Result<Vec<(Place, EnvironmentRef)>> {
        let query = sql("SELECT delivery, cluster, namespace, secret, environment FROM delivery_places \
                         WHERE delivery = $1")
        .bind(name);
        let rows: Vec<PlaceRow> = self.it.database.fetch_all(query).await?;
        let read = rows.into_iter().map(|row| row.read().map_err(Problem::internal));
        read.map(|row| row.map(|(_, place, at)| (place, at))).collect()
    }

    /// Removes a delivery from where it is no longer declared to be; whether it is gone from there.
    pub(super) async fn leave_former_places(&self, name: &Name, declared: Option<&Delivery>) -> Result<bool> {
        let now = declared.map(Place::of);
        let mut left = true;
        for (place, environment) in self.places_of(name).await? {
            if Some(&place) != now.as_ref() {
                let about = About { delivery: name.clone(), environment };
                left &= self.take_away(&about, &place, declared.is_none()).await?;
            }
        }
        Ok(left)
    }

    /// Removes a delivery from one place, if it ever was there; whether it is gone.
    pub(super) async fn leave_place(&self, about: &About, place: &Place) -> Result<bool> {
        if self.places_of(&about.delivery).await?.iter().any(|(it, _)| it == place) {
            return self.take_away(about, place, true).await;
        }
        Ok(true)
    }

    async fn take_away(&self, about: &About, place: &Place, tell: bool) -> Result<bool> {
        let Some(target) = self.it.targets.get(&place.cluster) else {
            tracing::warn!(delivery = %about.delivery, %place, "a Secret is left in a cluster that is not configured");
            return Ok(false);
        };
        let trouble = match self.delete(about, place, &**target).await? {
            Ok(()) => return Ok(true),
            Err(TargetError::Conflict) => return Ok(false),
            Err(error) => trouble(place, &error),
        };
        tracing::warn!(delivery = %about.delivery, %place, detail = trouble.detail, "a Secret is not removed yet");
        if tell {
            let stored = self.stored(&about.delivery).await?;
            let facts = facts_of(about);
            self.note(about, &facts, stored.as_ref(), trouble).await?;
        }
        Ok(false)
    }

    async fn delete(
        &self,
        about: &About,
        place: &Place,
        target: &dyn Target,
    ) -> Result<Result<(), TargetError>> {
        let found = match target.read(&place.spot).await {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        match found {
            None => self.leave(about, place, None, "gone").await.map(Ok),
            Some(it) if !is_ours(&*self.it.mac, &it, place, &about.delivery) => {
                self.leave(about, place, None, "not-ours").await.map(Ok)
            }
            Some(it) if it.ending => Ok(Err(TargetError::Refused("a finalizer holds the Secret".to_owned()))),
            Some(it) => self.delete_ours(about, place, target, &it).await,
        }
    }

    async fn delete_ours(
        &self,
        about: &About,
        place: &Place,
        target: &dyn Target,
        found: &Found,
    ) -> Result<Result<(), TargetError>> {
        if let Err(error) = target.delete(&place.spot, &found.seen, Mode::Try).await {
            return Ok(Err(error));
        }
        let (permit, at) = (self.permit_at(&about.environment)?, place.clone());
        let intent = self.it.log.perform(OpenRemove { permit, about: about.clone(), place: at }).await?;
        let error = match target.delete(&place.spot, &found.seen, Mode::Do).await {
            Ok(()) => return self.leave(about, place, Some(intent), "ours").await.map(Ok),
            Err(error) => error,
        };
        let outcome = match error {
            TargetError::Unreachable(_) | TargetError::Conflict => IntentOutcome::Unknown,
            _ => IntentOutcome::Failed,
        };
        let (permit, about) = (self.permit_at(&about.environment)?, about.clone());
        self.it.log.perform(Fail { permit, about, intent, outcome, standing: None }).await?;
        Ok(Err(error))
    }

    async fn leave(
        &self,
        about: &About,
        place: &Place,
        intent: Option<crate::base::ids::IntentId>,
        found: &'static str,
    ) -> Result<()> {
        let permit = self.permit_at(&about.environment)?;
        let (about, place) = (about.clone(), place.clone());
        self.it.log.perform(Leave { permit, about, place, intent, found }).await
    }

    /// Forgets a delivery that no file declares and that is nowhere any more.
    pub(super) async fn forget(&self, name: &Name) -> Result<()> {
        let Some(stored) = self.stored(name).await? else { return Ok(()) };
        let environment = stored.environment.parse().map_err(Problem::internal)?;
        let permit = self.permit_at(&environment)?;
        self.it.log.perform(Forget { permit, about: About { delivery: name.clone(), environment } }).await
    }
}

/// What is no longer declared has no owner that we know.
fn facts_of(about: &About) -> EnvironmentFacts {
    EnvironmentFacts { at: about.environment.clone(), owner: None, protected: false }
}
